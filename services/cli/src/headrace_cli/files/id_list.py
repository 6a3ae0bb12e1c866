"""A list of ids as plain text."""

from collections.abc import Iterator
from pathlib import Path

from headrace_cli.files.lines import Lines
from headrace_cli.files.rows import BadRow, Row


class IdList:
    """A `RowFile` with one id in each line. Spaces around the id and blank lines are ignored.

    An id may be in double quotes, as in CSV. The first line may be the name of the id's field.
    """

    def __init__(self, path: Path, id_field: str) -> None:
        self.path = path
        self.columns = None
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
                continue
            id = _without_quotes(text)
            if id is None:
                yield BadRow(line[0], f"has a quote at one end, or single quotes: {text[:60]}")
            elif id and (line[0], id) != (1, self._id_field):
                yield Row(line[0], {self._id_field: id})


def _without_quotes(text: str) -> str | None:
    """The id without the double quotes around it; None if it has other quotes at its ends."""
    if len(text) > 1 and text[0] == text[-1] == '"':
        return text[1:-1].replace('""', '"')
    return None if text and ('"' in (text[0], text[-1]) or text[0] == text[-1] == "'") else text
