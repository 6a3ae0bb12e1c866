"""JSON Lines: one object in each line."""

import json
from collections.abc import Iterator
from pathlib import Path

from headrace_cli.files.lines import Lines
from headrace_cli.files.rows import BadRow, Row


class JsonLinesFile:
    """A `RowFile` of JSON objects. NaN is read as null.

    `id_field`: if it is given, a line may also be a JSON string, which becomes the value of that field.
    """

    def __init__(self, path: Path, id_field: str | None = None) -> None:
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
            elif line[1].strip():
                yield self._row(*line)

    def _row(self, number: int, line: bytes) -> Row | BadRow:
        try:
            fields = json.loads(line.decode(), parse_constant=_constant)
        except UnicodeDecodeError:
            return BadRow(number, "is not UTF-8")
        except json.JSONDecodeError as error:
            return BadRow(number, f"is not JSON: {error.msg} at column {error.colno}")
        except (ValueError, RecursionError) as error:
            return BadRow(number, f"is not usable JSON: {str(error).partition(';')[0]}")
        if isinstance(fields, str) and self._id_field:
            fields = {self._id_field: fields}
        if not isinstance(fields, dict):
            return BadRow(number, "is not a JSON object")
        return Row(number, fields)


def _constant(name: str) -> None:
    if name != "NaN":
        raise ValueError(f"{name} is not a JSON number")
