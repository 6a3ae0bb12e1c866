"""The rows of a file."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol


@dataclass(frozen=True, slots=True)
class Row:
    """One row as fields that JSON can express. `line`: where it starts, from 1; in Parquet the row's number, from 1."""

    line: int
    fields: dict[str, Any]


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that cannot be read, and why. The rows after it can be read."""

    line: int
    why: str


class UnreadableFile(Exception):
    """The file cannot be read, or not beyond some point; the text is one line with the reason."""


class RowFile(Protocol):
    """A file of rows, which is read once and in constant memory.

    `columns`: the names that all rows share; None if each row names its own fields. `size` and `position`: its size and
    how far it has been read, in one unit (bytes, or rows of Parquet). `columns` and iterating raise UnreadableFile.
    """

    @property
    def path(self) -> Path: ...

    @property
    def columns(self) -> list[str] | None: ...

    @property
    def size(self) -> int: ...

    @property
    def position(self) -> int: ...

    def __iter__(self) -> Iterator[Row | BadRow]: ...


def check_names(path: Path, columns: list[str]) -> None:
    """Raises UnreadableFile if two columns have the same name."""
    if twice := sorted({name for name in columns if columns.count(name) > 1}):
        raise UnreadableFile(f"{path}: the header names {', '.join(map(repr, twice))} twice")
