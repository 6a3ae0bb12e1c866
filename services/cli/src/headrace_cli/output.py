"""What a command prints: tables for people, JSON for programs. Control characters are always escaped."""

import json
import re
import sys
from collections.abc import Iterable
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from headrace_letters.visible_text import visible

WIDTH_WITHOUT_TERMINAL = 160

_NOT_PRINTABLE_ASCII = re.compile(r"[^\n\x20-\x7e]")


def screen() -> Console:
    """Standard output. Lines are 160 columns wide where it is not a terminal."""
    return Console(width=None if sys.stdout.isatty() else WIDTH_WITHOUT_TERMINAL, highlight=False)


def messages() -> Console:
    """Standard error, for progress and errors."""
    return Console(stderr=True, width=None if sys.stderr.isatty() else WIDTH_WITHOUT_TERMINAL, highlight=False)


def print_json(value: Any) -> None:
    """One JSON document on standard output."""
    sys.stdout.write(json_text(value, indent=2) + "\n")


def json_text(value: Any, indent: int | None = None) -> str:
    """JSON in which every control character is escaped as JSON allows, so that a terminal does not act on it."""
    text = json.dumps(value, ensure_ascii=False, indent=indent, default=str)
    return _NOT_PRINTABLE_ASCII.sub(lambda found: _escaped_in_json(found[0]), text)


def table(*columns: str, title: str | None = None, right: Iterable[str] = ()) -> Table:
    """An empty table with these columns. The columns in `right` contain numbers and are aligned to the right."""
    made = Table(box=box.SIMPLE_HEAD, title=title, title_justify="left", title_style="bold", caption_justify="left")
    made.pad_edge, made.collapse_padding = False, True
    numbers = frozenset(right)
    for column in columns:
        made.add_column(column, justify="right" if column in numbers else "left")
    return made


def inert(text: str, style: str = "") -> Text:
    """A text from outside, safe to show: markup is not interpreted, and control characters appear as escapes."""
    return Text(visible(text), style=style)


def _escaped_in_json(character: str) -> str:
    return character if visible(character) == character else json.dumps(character)[1:-1]
