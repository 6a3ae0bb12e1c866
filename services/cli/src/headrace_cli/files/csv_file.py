"""CSV with a header, as RFC 4180 describes it: commas, double quotes, line ends within quotes."""

import csv
import re
from collections.abc import Iterator
from pathlib import Path

from headrace_cli.files.lines import MAX_LINE_BYTES, Lines
from headrace_cli.files.rows import BadRow, Row, UnreadableFile, check_names

_SEPARATORS = {",": "a comma", "\t": "a tab", ";": "';'", "|": "'|'"}
_QUOTED = re.compile('"[^"]*"')


class CsvFile:
    """A `RowFile` whose fields are texts, named by the header. An empty cell is an absent field.

    A wrong quote ends the file: which of the lines after it are rows, and which are text of a cell, is not known.

    `id_field`: if it is given, a file of one column has a header only if its first row is this name.
    """

    def __init__(self, path: Path, id_field: str | None = None, separator: str = ",") -> None:
        self.path = path
        self._lines = Lines(path)
        self._id_field = id_field
        self._separator = separator

    @property
    def columns(self) -> list[str] | None:
        """The header; None if the file is empty."""
        return next((self._header(cells) for _, cells in self._rows(Lines(self.path))), None)

    @property
    def size(self) -> int:
        return self._lines.size

    @property
    def position(self) -> int:
        return self._lines.position

    def __iter__(self) -> Iterator[Row | BadRow]:
        header: list[str] | None = None
        for line, cells in self._rows(self._lines):
            if header is None:
                header = self._header(cells)
                if header != cells:
                    yield _row(line, header, cells)
            else:
                yield _row(line, header, cells)

    def _header(self, cells: list[str]) -> list[str]:
        if self._id_field and len(cells) == 1:
            return [self._id_field]
        check_names(self.path, cells)
        return cells

    def _rows(self, lines: Lines) -> Iterator[tuple[int, list[str]]]:
        """The first line number of each row, and its cells."""
        csv.field_size_limit(MAX_LINE_BYTES)
        reader = csv.reader(self._texts(lines), delimiter=self._separator, strict=True)
        while True:
            line = reader.line_num + 1
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                raise UnreadableFile(
                    f"{self.path}: line {line} is not CSV: {error} (is a quote not closed, or not doubled?); no row "
                    "from this line on is read"
                ) from None
            if cells:
                yield line, cells

    def _texts(self, lines: Lines) -> Iterator[str]:
        sniffed = False
        for line in lines:
            if isinstance(line, BadRow):
                raise UnreadableFile(f"{self.path}: line {line.line} {line.why}")
            # Bytes that are not UTF-8 become surrogates here, so that the row that contains them can be reported.
            text = line[1].decode(errors="surrogateescape")
            if not sniffed and text.strip():
                self._check_separator(text)
                sniffed = True
            yield text

    def _check_separator(self, header: str) -> None:
        """Raises UnreadableFile if the header has more of another separator than of its own, outside of quotes."""
        bare = _QUOTED.sub("", header)
        other = max(_SEPARATORS, key=lambda one: (bare.count(one), one == self._separator))
        names = {name.strip('" \r\n') for name in header.split(other)}
        # Ids may contain any of the separators.
        may_be_ids = self._id_field and self._id_field not in names and not bare.startswith("sep=")
        if other != self._separator and bare.count(other) and not may_be_ids:
            advice = ": name it .tsv" if other == "\t" else ""
            shown, wanted = _SEPARATORS[other], _SEPARATORS[self._separator]
            raise UnreadableFile(f"{self.path}: its separator is {shown}, and must be {wanted}{advice}")


def _row(line: int, header: list[str], cells: list[str]) -> Row | BadRow:
    if len(cells) != len(header):
        return BadRow(line, f"has {len(cells)} cells, the header has {len(header)}")
    try:
        "".join(cells).encode()
    except UnicodeEncodeError:
        return BadRow(line, "is not UTF-8")
    return Row(line, {name: cell for name, cell in zip(header, cells, strict=True) if cell})
