"""A record's bytes as a page shows them: decoded where they are JSON, as text where they are text, and in hex."""

import codecs
import json
import re
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup, escape

from headrace_console.formats.text import inert_lines
from headrace_letters.visible_text import visible

MOST_DECODED = 262_144
"""Bytes: a larger value is shown by its beginning."""
MOST_SHOWN = 16_384
MOST_STRING = 160
HEX_BYTES = 512
ROW = 16


@dataclass(frozen=True, slots=True)
class Shown:
    """`form`: what it was taken for. `cut`: how many bytes the page leaves out, of `size`; None of a null value."""

    form: str
    html: Markup
    size: int | None
    cut: int


def shown_payload(value: bytes | None) -> Shown:
    """Never raises, whatever the bytes."""
    if value is None:
        return Shown("null", Markup(""), None, 0)
    if len(value) <= MOST_DECODED:
        try:
            return Shown("JSON", highlighted(json.loads(value)), len(value), 0)
        except (ValueError, RecursionError):
            pass
    beginning = value[:MOST_SHOWN]
    cut = len(value) - len(beginning)
    # A character that the cut has halved is left out; one that was broken before is shown as broken.
    text = codecs.getincrementaldecoder("utf-8")("replace").decode(beginning, final=not cut)
    form = "text" if "\ufffd" not in text else "binary"
    return Shown(form, inert_lines(text, MOST_SHOWN), len(value), cut)


def highlighted(value: Any) -> Markup:
    """JSON with its keys, texts and numbers marked. Long texts, such as vectors, are shortened."""
    lines = json.dumps(_shortened(value), indent=2, ensure_ascii=False).split("\n")
    return Markup("\n").join(_line(line) for line in lines[:5000])


def hexdump(value: bytes, most: int = HEX_BYTES) -> str:
    """Offset, 16 bytes in hexadecimal, and the printable ones of ASCII, a row each."""
    shown = []
    for start in range(0, min(len(value), most), ROW):
        row = value[start : start + ROW]
        digits = f"{row[:8].hex(' ')}  {row[8:].hex(' ')}"
        letters = "".join(chr(byte) if 32 <= byte < 127 else "·" for byte in row)
        shown.append(f"{start:08x}  {digits:<49} {letters}")
    return "\n".join(shown)


_TOKEN = re.compile(r'(?P<key>"(?:[^"\\]|\\.)*")(?=:)|(?P<text>"(?:[^"\\]|\\.)*")|(?P<plain>[^"]+)|(?P<rest>")')


def _line(line: str) -> Markup:
    return Markup("").join(_token(match) for match in _TOKEN.finditer(line))


def _token(match: re.Match[str]) -> Markup:
    shown = escape(visible(match[0]))
    return Markup('<span class="json-{}">{}</span>').format(match.lastgroup, shown)


def _shortened(value: Any) -> Any:
    if isinstance(value, str) and len(value) > MOST_STRING:
        return f"{value[:MOST_STRING]}… ({len(value):,} characters)"
    if isinstance(value, dict):
        return {key[:MOST_STRING]: _shortened(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_shortened(item) for item in value]
    return value
