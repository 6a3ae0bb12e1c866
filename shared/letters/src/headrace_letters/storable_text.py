"""Makes text that PostgreSQL can store from any bytes or string."""

SHOWN_NUL = "␀"
"""U+2400, the picture of U+0000, which PostgreSQL cannot store."""


def storable(value: str | bytes | None, longest: int) -> str:
    """The first `longest` characters, with visible replacements for U+0000 and invalid characters.

    Control characters and markup stay: escape the text before it is shown.
    """
    if value is None:
        return ""
    text = value[: 4 * longest].decode(errors="replace") if isinstance(value, bytes) else value
    text = text[:longest].replace("\x00", SHOWN_NUL)
    return text if text.isascii() else text.encode(errors="replace").decode()
