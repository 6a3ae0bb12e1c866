"""Makes every character of a text visible, for a terminal or a page."""

import unicodedata

_INVISIBLE = {"Cc", "Cf", "Co", "Cs", "Zl", "Zp"}
"""Unicode categories that are invisible but may move the cursor, change its direction or hide text."""


def visible(text: str) -> str:
    """One line; invisible characters appear as escapes, such as line ends, ANSI sequences and RTL overrides.

    Markup stays: the caller must escape it.
    """
    if text.isprintable():
        return text
    return "".join(_shown(character) for character in text)


def _shown(character: str) -> str:
    if unicodedata.category(character) not in _INVISIBLE:
        return character
    return character.encode("unicode_escape").decode()
