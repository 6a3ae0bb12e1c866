"""The Kafka records of a history, and what they say by the rules of docs/topics-and-records.md."""

import json
from datetime import UTC, datetime
from typing import Any, NamedTuple

from harness import kafka_record as records

from headrace_demo.catalogue.malformed_records import malformed_record
from headrace_schemas.changes import ID_FIELDS
from headrace_schemas.fields import Kind
from headrace_schemas.headers import VERSION
from histories.generator import OVERSIZED
from histories.steps import History, Malformed, Publish

WORDS = ("oak table", "steel bottle", "wool scarf", "red lamp", "garden chair", "paper kite")
NOW = datetime(2026, 1, 1, tzinfo=UTC)
LARGEST = 4096
"""`kafka.max_record_bytes` of these workers, so that an oversized record is small for the test."""

Headers = list[tuple[str, bytes | None]]


class Sent(NamedTuple):
    """The parts of a record that its producer decides."""

    kind: Kind
    key: bytes
    value: bytes | None
    headers: Headers


def kind_of(entity: int) -> Kind:
    return "keyword" if entity % 2 else "product"


def sent(history: History, step: Publish | Malformed) -> Sent:
    """What a step publishes."""
    kind, id = kind_of(step.entity), history.id(step.entity)
    if isinstance(step, Publish):
        if step.null:
            return Sent(kind, id.encode(), None, [(VERSION, str(step.version).encode())])
        return Sent(kind, id.encode(), encoded(_fields(kind, id, step.version, step.content)), [])
    record = _fields(kind, id, step.version, 0)
    if step.defect == OVERSIZED:
        return Sent(kind, id.encode(), encoded(record | {"description": "x" * LARGEST, "later": "x" * LARGEST}), [])
    made = malformed_record(kind, step.defect, record)
    return Sent(kind, made.key, made.value, [])


def edited(kind: Kind, id: str, version: int) -> Sent:
    """The valid change by which an operator replaces a letter."""
    return Sent(kind, id.encode(), encoded(_fields(kind, id, version, 5)), [])


def kafka_record(topic: str, offset: int, key: bytes | None, value: bytes | None, headers: Headers) -> Any:
    """A record as aiokafka returns it."""
    return records.kafka_record(
        value, key, topic=topic, offset=offset, timestamp=1_767_225_600_000 + offset, headers=headers
    )


def encoded(record: dict[str, Any]) -> bytes:
    return json.dumps(record, separators=(",", ":")).encode()


def _fields(kind: Kind, id: str, version: int, content: int | None) -> dict[str, Any]:
    fields: dict[str, Any] = {ID_FIELDS[kind]: id, "version": version, "occurred_at": NOW.isoformat()}
    if content is None:
        return fields | {"op": "delete"}
    fields |= {"op": "upsert", "locale": "en"}
    if kind == "keyword":
        # Two contents share a text, so that some updates keep the vector.
        return fields | {"text": WORDS[content // 2], "popularity": content}
    return fields | {
        "title": WORDS[content // 2],
        "price": 10.5 + content,
        "attributes": {"size": content, "of": ["a", 1.5]},
    }
