"""Untrusted text as harmless HTML: escaped, isolated from the text around it, and shortened."""

from markupsafe import Markup, escape

from headrace_letters.visible_text import visible

SHORT = 200


def inert(text: object, most: int = SHORT) -> Markup:
    """One line: line ends become spaces, and invisible characters appear as escapes.

    `<bdi>` isolates its direction from the text around it.
    """
    whole = str(text).replace("\r\n", "\n").replace("\n", " ")
    cut = whole if len(whole) <= most else whole[:most] + "…"
    return Markup("<bdi>{}</bdi>").format(visible(cut))


def inert_lines(text: str, most: int) -> Markup:
    """Like `inert`, but line ends stay."""
    cut = text if len(text) <= most else text[:most] + "…"
    lines = cut.replace("\r\n", "\n").split("\n")
    return Markup('<bdi class="lines">{}</bdi>').format(Markup("\n").join(escape(visible(line)) for line in lines))


def header_text(value: bytes, most: int = 2000) -> Markup:
    """A header as text, or in hexadecimal if it is not text, such as a number of Spring Kafka."""
    try:
        return inert_lines(value.decode(), most)
    except UnicodeDecodeError:
        return inert("0x" + value[:most].hex(), 2 * most + 3)


def count(number: int) -> str:
    """With a comma between thousands."""
    return f"{number:,}"


def short_count(number: float) -> str:
    """In at most five characters: 950, 12.3k, 4.1M."""
    for limit, unit in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if number >= limit:
            scaled = number / (1e3 if unit == "k" else limit)
            return f"{scaled:.0f}{unit}" if scaled >= 100 else f"{scaled:.1f}{unit}"
    return f"{number:,.0f}"


def byte_count(number: int | None) -> str:
    """1 MiB is 1,048,576 bytes."""
    if number is None:
        return "null"
    for unit, size in (("MiB", 2**20), ("KiB", 2**10)):
        if number >= size:
            return f"{number / size:.1f} {unit}"
    return "1 byte" if number == 1 else f"{number} bytes"
