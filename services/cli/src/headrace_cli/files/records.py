"""The records of a source topic that the rows of a file ask for."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from pydantic import ValidationError

from headrace_cli.files.row_change import change_of
from headrace_cli.files.rows import BadRow, Row, RowFile, UnreadableFile
from headrace_cli.source_producer import SourceRecord
from headrace_schemas.changes import CHANGES, ID_FIELDS
from headrace_schemas.fields import Kind

ROOM_FOR_HEADERS = 512
REMEMBERED_ROWS = 100_000
COLUMNS_SHOWN = 20
TEXT_FIELDS: Mapping[Kind, str] = {"product": "title", "keyword": "text"}
"""The field that an upsert of each kind needs."""


@dataclass(frozen=True, slots=True)
class RowFormat:
    """How to read a file's rows. `version`: for deletes without their own version.

    `max_record_bytes`: of the settings; `topic_bytes`: what the topic accepts, if the broker tells it.
    """

    kind: Kind
    version_field: str = "version"
    delete: bool = False
    version: int | None = None
    max_record_bytes: int = 1_048_576
    topic_bytes: int | None = None


class FileRecords:
    """Iterates over a file's rows as records, or as BadRow if a row can never be one.

    `repeated`: how many records have the id and version of an earlier row; every store keeps the first of them.
    """

    def __init__(self, file: RowFile, row_format: RowFormat) -> None:
        self.file = file
        self.row_format = row_format
        self.repeated = 0
        self._known = RecentPairs()

    def __iter__(self) -> Iterator[SourceRecord | BadRow]:
        """Raises UnreadableFile, too, if every row would lack its id, its version or its text."""
        self._check_columns()
        for row in self.file:
            yield row if isinstance(row, BadRow) else self._record(row)

    def _check_columns(self) -> None:
        columns, row_format = self.file.columns, self.row_format
        needed = [ID_FIELDS[row_format.kind]]
        if row_format.version is None:
            needed.append(row_format.version_field)
        # With a column of operations every row may be a delete.
        if not row_format.delete and "op" not in (columns or ()):
            needed.append(TEXT_FIELDS[row_format.kind])
        if columns is None or not (lacking := [name for name in needed if name not in columns]):
            return
        has = ", ".join(map(repr, columns[:COLUMNS_SHOWN])) + (", …" if len(columns) > COLUMNS_SHOWN else "")
        raise UnreadableFile(
            f"{self.file.path}: it needs the column{'s' * (len(lacking) > 1)} {', '.join(lacking)}, and has {has}: "
            "rename its columns, or name the one of the version with --version-field"
        )

    def _record(self, row: Row) -> SourceRecord | BadRow:
        try:
            record, version = source_record(row, self.row_format, datetime.now(UTC))
        except ValueError as error:
            return BadRow(row.line, str(error))
        if self._known.contains_or_adds(record.key.decode(), version):
            self.repeated += 1
        return record


class RecentPairs:
    """The (id, version) pairs of at least the last `remembered` rows, and of at most twice as many: memory is bounded.

    A repetition that is further apart is not counted.
    """

    def __init__(self, remembered: int = REMEMBERED_ROWS) -> None:
        self._remembered = remembered
        self._newer: set[int] = set()
        self._older: set[int] = set()

    def __len__(self) -> int:
        return len(self._newer) + len(self._older)

    def contains_or_adds(self, id: str, version: int) -> bool:
        """Whether the pair is known; adds it if not."""
        mark = hash((id, version))
        if mark in self._newer or mark in self._older:
            return True
        self._newer.add(mark)
        if len(self._newer) >= self._remembered:
            self._older, self._newer = self._newer, set()
        return False


def source_record(row: Row, row_format: RowFormat, now: datetime) -> tuple[SourceRecord, int]:
    """The record that a row asks for, and its version.

    Raises ValueError with a text that fits after "line 7 …". The check is the one that every worker makes, so every
    worker accepts a record that passes it.
    """
    if row_format.delete and row_format.version is None and row.fields.get(row_format.version_field) is None:
        raise ValueError(f"has no {row_format.version_field}: give the deletes a version with --version")
    change = change_of(
        row.fields,
        row_format.kind,
        now=now,
        version_field=row_format.version_field,
        delete=row_format.delete,
        default_version=row_format.version,
    )
    value = _json(change)
    try:
        valid = CHANGES[row_format.kind].model_validate_json(value)
    except ValidationError as error:
        raise ValueError(_first_problem(error)) from None
    key = valid.id.encode()
    size = len(key) + len(value) + ROOM_FOR_HEADERS
    if size > row_format.max_record_bytes:
        raise ValueError(f"makes a record of {size} bytes, the topic accepts {row_format.max_record_bytes}")
    if row_format.topic_bytes is not None and size > row_format.topic_bytes:
        raise ValueError(
            f"makes a record of {size} bytes, the topic accepts {row_format.topic_bytes}: its max.message.bytes is "
            f"below HEADRACE_KAFKA__MAX_RECORD_BYTES, {row_format.max_record_bytes}; correct it with "
            "`headrace topics apply`"
        )
    return SourceRecord(row_format.kind, key, value), valid.version


def _json(change: dict[str, object]) -> bytes:
    try:
        return json.dumps(change, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()
    except UnicodeEncodeError:
        raise ValueError("contains half of a surrogate pair, which is not text") from None
    except (ValueError, TypeError, RecursionError) as error:
        raise ValueError(f"cannot be written as JSON: {error}") from None


def _first_problem(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    where = ".".join(map(str, first["loc"]))
    return f"has a wrong {where}: {first['msg']}" if where else first["msg"].removeprefix("Value error, ")
