"""CSV with a header, as RFC 4180 describes it: commas, double quotes, line ends within quotes."""

import csv
from collections.abc import Iterator
from pathlib import Path

from headrace_cli.files.lines import Lines
from headrace_cli.files.rows import BadRow, Row, UnreadableFile


class CsvFile:
    """A `RowFile` whose fields are texts, named by the header. An empty cell is an absent field.

    `id_field`: if it is given, a file of one column has a header only if its first row is this name.
    """

    def __init__(self, path: Path, id_field: str | None = None) -> None:
        self._path = path
        self._lines = Lines(path)
        self._id_field = id_field

    @property
    def size(self) -> int:
        return self._lines.size

    @property
    def position(self) -> int:
        return self._lines.position

    def __iter__(self) -> Iterator[Row | BadRow]:
        header: list[str] | None = None
        for line, cells in self._rows():
            if isinstance(cells, str):
                yield BadRow(line, cells)
            elif header is None:
                header = self._header(cells)
                if header != cells:
                    yield _row(line, header, cells)
            else:
                yield _row(line, header, cells)

    def _header(self, cells: list[str]) -> list[str]:
        if self._id_field and len(cells) == 1:
            return [self._id_field]
        if twice := sorted({name for name in cells if cells.count(name) > 1}):
            raise UnreadableFile(f"{self._path}: the header names {', '.join(map(repr, twice))} twice")
        return cells

    def _rows(self) -> Iterator[tuple[int, list[str] | str]]:
        """The first line number of each row, and its cells or what is wrong with it."""
        reader = csv.reader(self._texts(), strict=True)
        while True:
            line = reader.line_num + 1
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                yield line, f"is not CSV: {error} (is a quote not closed?)"
            else:
                if cells:
                    yield line, cells

    def _texts(self) -> Iterator[str]:
        for line in self._lines:
            if isinstance(line, BadRow):
                raise UnreadableFile(f"{self._path}: line {line.line} {line.why}")
            # Bytes that are not UTF-8 become surrogates here, so that the row that contains them can be reported.
            yield line[1].decode(errors="surrogateescape")


def _row(line: int, header: list[str], cells: list[str]) -> Row | BadRow:
    if len(cells) != len(header):
        return BadRow(line, f"has {len(cells)} cells, the header has {len(header)}")
    try:
        "".join(cells).encode()
    except UnicodeEncodeError:
        return BadRow(line, "is not UTF-8")
    return Row(line, {name: cell for name, cell in zip(header, cells, strict=True) if cell})
