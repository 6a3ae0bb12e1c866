"""What the records of the source topics say, by the rules of docs/topics-and-records.md and without the decoder."""

import json
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any

from pydantic import ValidationError

from headrace_expected.entities import Position
from headrace_schemas.changes import CHANGES, ID_FIELDS, Change
from headrace_schemas.fields import Kind
from headrace_schemas.headers import VERSION

NOW = datetime(2026, 1, 1, tzinfo=UTC)
"""No digest contains the time of a change."""


def change_of(kind: Kind, record: Any) -> Change | None:
    """The change that a source record is, if it is one. A null record with a version is a delete."""
    fields: dict[str, Any]
    if record.value is None:
        version = dict(record.headers).get(VERSION)
        if version is None:
            return None
        fields = {"op": "delete", ID_FIELDS[kind]: record.key.decode(), "version": int(version), "occurred_at": NOW}
        return CHANGES[kind].model_validate(fields)
    try:
        change = CHANGES[kind].model_validate_json(record.value)
    except ValidationError:
        return None
    return change if change.id.encode() == record.key else None


def changes_of(kind: Kind, records: Iterable[Any]) -> Iterator[tuple[Change, Position]]:
    """The changes among the source records of a kind, as the model takes them."""
    for record in records:
        if (change := change_of(kind, record)) is not None:
            yield change, Position(record.partition, record.offset)


def said_version(record: Any) -> int | None:
    """The version that a record names, although it may be malformed."""
    if record.value is None:
        version = dict(record.headers).get(VERSION)
        return int(version) if version else None
    try:
        said = json.loads(record.value)
    except ValueError:
        return None
    version = said.get("version") if isinstance(said, dict) else None
    return version if type(version) is int else None
