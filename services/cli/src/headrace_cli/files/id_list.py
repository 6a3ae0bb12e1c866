"""A list of ids as plain text."""

from collections.abc import Iterator
from pathlib import Path

from headrace_cli.files.lines import Lines
from headrace_cli.files.rows import BadRow, Row


class IdList:
    """A `RowFile` with one id in each line. Spaces around the id and blank lines are ignored."""

    def __init__(self, path: Path, id_field: str) -> None:
        self._lines = Lines(path)
        self._id_field = id_field

    @property
    def size(self) -> int:
        return self._lines.size

    @property
    def position(self) -> int:
        return self._lines.position

    def __iter__(self) -> Iterator[Row | BadRow]:
        for line in self._lines:
            if isinstance(line, BadRow):
                yield line
                continue
            try:
                text = line[1].decode().strip()
            except UnicodeDecodeError:
                yield BadRow(line[0], "is not UTF-8")
            else:
                if text:
                    yield Row(line[0], {self._id_field: text})
