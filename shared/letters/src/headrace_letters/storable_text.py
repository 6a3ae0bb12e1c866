"""Text that PostgreSQL can store, from bytes and strings that it would refuse."""

SHOWN_NUL = "␀"
"""U+2400, the picture of U+0000, which PostgreSQL cannot store."""


def storable(value: str | bytes | None, longest: int) -> str:
    """The text, or what of it can be read, with U+0000 and broken characters replaced visibly; `longest` characters.

    Nothing here makes it fit to be shown: control characters and markup stay as they are.
    """
    if value is None:
        return ""
    text = value[: 4 * longest].decode(errors="replace") if isinstance(value, bytes) else value
    text = text[:longest].replace("\x00", SHOWN_NUL)
    return text if text.isascii() else text.encode(errors="replace").decode()
