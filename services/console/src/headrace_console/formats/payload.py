"""The bytes of a record for a page: as JSON, as text or in hexadecimal."""

import codecs
import json
import re
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup, escape

from headrace_console.formats.text import inert_lines
from headrace_letters.visible_text import visible

MAX_DECODED = 262_144
"""Bytes. Of a larger value the page shows only the beginning."""
MAX_SHOWN = 16_384
MAX_STRING = 160
HEX_BYTES = 512
ROW = 16


@dataclass(frozen=True, slots=True)
class Shown:
    """`form`: JSON, text, binary or null. `size`: bytes of the value; None for null. `cut`: bytes not shown."""

    form: str
    html: Markup
    size: int | None
    cut: int


def shown_payload(value: bytes | None) -> Shown:
    """Never raises, whatever the bytes."""
    if value is None:
        return Shown("null", Markup(""), None, 0)
    if len(value) <= MAX_DECODED:
        try:
            return Shown("JSON", highlighted(json.loads(value)), len(value), 0)
        except (ValueError, RecursionError):
            pass
    beginning = value[:MAX_SHOWN]
    cut = len(value) - len(beginning)
    # Leave out a character that the cut divides; show a character that was invalid before.
    text = codecs.getincrementaldecoder("utf-8")("replace").decode(beginning, final=not cut)
    form = "text" if "\ufffd" not in text else "binary"
    return Shown(form, inert_lines(text, MAX_SHOWN), len(value), cut)


def highlighted(value: Any) -> Markup:
    """JSON with marked keys, texts and numbers. Long texts are shortened."""
    lines = json.dumps(_shortened(value), indent=2, ensure_ascii=False).split("\n")
    return Markup("\n").join(_line(line) for line in lines[:5000])


def hexdump(value: bytes, most: int = HEX_BYTES) -> str:
    """A row for each 16 bytes: the offset, hexadecimal digits and printable ASCII."""
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
    if isinstance(value, str) and len(value) > MAX_STRING:
        return f"{value[:MAX_STRING]}… ({len(value):,} characters)"
    if isinstance(value, dict):
        return {key[:MAX_STRING]: _shortened(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_shortened(item) for item in value]
    return value
