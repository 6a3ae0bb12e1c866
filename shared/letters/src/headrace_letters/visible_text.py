"""Text from outside as it may be shown to a person, on a terminal or on a page."""

import unicodedata

_INVISIBLE = {"Cc", "Cf", "Co", "Cs", "Zl", "Zp"}
"""Unicode categories that are not shown but may move the cursor, change its direction or hide text."""


def visible(text: str) -> str:
    """One line: what is not shown appears as an escape, line ends, ANSI sequences and RTL overrides among it.

    Markup, of a terminal or of a page, stays as it is: whoever shows it escapes it.
    """
    if text.isprintable():
        return text
    return "".join(_shown(character) for character in text)


def _shown(character: str) -> str:
    if unicodedata.category(character) not in _INVISIBLE:
        return character
    return character.encode("unicode_escape").decode()
