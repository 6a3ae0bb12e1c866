"""From the rows of a file to the records of a source topic."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime

from pydantic import ValidationError

from headrace_cli.files.row_change import change_of
from headrace_cli.files.rows import BadRow, Row, Source
from headrace_cli.source_producer import SourceRecord
from headrace_schemas.changes import CHANGES
from headrace_schemas.fields import Kind

ROOM_FOR_HEADERS = 512
REMEMBERED_ROWS = 100_000


@dataclass(frozen=True, slots=True)
class Reading:
    """How a file's rows are to be understood. `version`: for deletes without one of their own."""

    kind: Kind
    version_field: str = "version"
    delete: bool = False
    version: int | None = None
    max_record_bytes: int = 1_048_576


class Repeated:
    """Notices an id that comes twice with one version, of which every store keeps the first.

    It remembers at least the last 100,000 rows and at most twice as many, so that memory is bounded: a repetition
    further apart goes unnoticed here.
    """

    def __init__(self, remembered: int = REMEMBERED_ROWS) -> None:
        self._remembered = remembered
        self._newer: set[int] = set()
        self._older: set[int] = set()

    def seen(self, id: str, version: int) -> bool:
        """Whether this pair was there before; remembers it."""
        mark = hash((id, version))
        if mark in self._newer or mark in self._older:
            return True
        self._newer.add(mark)
        if len(self._newer) >= self._remembered:
            self._older, self._newer = self._newer, set()
        return False


@dataclass(slots=True)
class FileRecords:
    """Iterates over a file's rows as records, or as BadRow where a row can never be one. Counts repetitions."""

    source: Source
    reading: Reading
    repeated: int = 0
    _known: Repeated = field(default_factory=Repeated)

    def __iter__(self) -> Iterator[SourceRecord | BadRow]:
        for row in self.source:
            yield row if isinstance(row, BadRow) else self._record(row)

    def _record(self, row: Row) -> SourceRecord | BadRow:
        try:
            record, version = source_record(row, self.reading, datetime.now(UTC))
        except ValueError as error:
            return BadRow(row.line, str(error))
        if self._known.seen(record.key.decode(), version):
            self.repeated += 1
        return record


def source_record(row: Row, reading: Reading, now: datetime) -> tuple[SourceRecord, int]:
    """The record that a row asks for, and its version.

    Raises ValueError with a text that fits after "line 7 …". What passes here is what every worker accepts, because
    it is the same check.
    """
    if reading.delete and reading.version is None and row.fields.get(reading.version_field) is None:
        raise ValueError(f"has no {reading.version_field}: give the deletes a version with --version")
    change = change_of(
        row.fields,
        reading.kind,
        now=now,
        version_field=reading.version_field,
        delete=reading.delete,
        default_version=reading.version,
    )
    value = _json(change)
    try:
        valid = CHANGES[reading.kind].model_validate_json(value)
    except ValidationError as error:
        raise ValueError(_first_problem(error)) from None
    key = valid.id.encode()
    size = len(key) + len(value) + ROOM_FOR_HEADERS
    if size > reading.max_record_bytes:
        raise ValueError(f"makes a record of {size} bytes, the topic takes {reading.max_record_bytes}")
    return SourceRecord(reading.kind, key, value), valid.version


def _json(change: dict[str, object]) -> bytes:
    try:
        return json.dumps(change, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()
    except UnicodeEncodeError:
        raise ValueError("holds half of a surrogate pair, which is not text") from None
    except (ValueError, TypeError, RecursionError) as error:
        raise ValueError(f"cannot be written as JSON: {error}") from None


def _first_problem(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    where = ".".join(map(str, first["loc"]))
    return f"has a wrong {where}: {first['msg']}" if where else first["msg"].removeprefix("Value error, ")
