"""Which entity a dead letter is about, where that can be read from a record that may be anything."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from pydantic_core import from_json

from headrace_schemas import headers
from headrace_schemas.changes import CHANGES, ID_FIELDS
from headrace_schemas.embedded import EMBEDDED
from headrace_schemas.fields import MAX_ID_BYTES, MAX_VERSION, RecordKind
from headrace_schemas.links import ProductLinks, RelinkRequest, Sweep
from headrace_schemas.topics import SOURCE_NAMES, Topics
from headrace_shared.dead.text import storable
from headrace_shared.runtime.decode import MAX_DIGITS
from headrace_shared.runtime.items import KafkaRecord, header

BY_SCHEMA: Mapping[str, RecordKind] = {
    model.schema_name: model.kind
    for model in (*CHANGES.values(), *EMBEDDED.values(), ProductLinks, RelinkRequest, Sweep)
}


class Subject(NamedTuple):
    """The entity and the version; each None where the record does not say it."""

    kind: RecordKind | None
    id: str | None
    version: int | None


def subject(record: KafkaRecord, topic: str | None, topics: Topics) -> Subject:
    """What the record is about. `topic`: where it was read when it failed. Never raises."""
    said = _object(record.value)
    named = {kind: said[field] for kind, field in ID_FIELDS.items() if isinstance(said.get(field), str)}
    kind = _by_schema(record) or _by_topic(topic, topics) or next(iter(named), None)
    version = said.get("version")
    if not said:
        version = _version_header(record)
    if type(version) is not int or not 1 <= version <= MAX_VERSION:
        version = None
    return Subject(kind, storable(next(iter(named.values()), None) or record.key, MAX_ID_BYTES) or None, version)


def _object(value: bytes | None) -> Mapping[str, Any]:
    if value is None:
        return {}
    try:
        said = from_json(value, cache_strings="keys")
    except ValueError:
        return {}
    return said if isinstance(said, dict) else {}


def _by_schema(record: KafkaRecord) -> RecordKind | None:
    name = (header(record, headers.SCHEMA) or b"").partition(b"/")[0]
    return BY_SCHEMA.get(name.decode(errors="replace"))


def _by_topic(topic: str | None, topics: Topics) -> RecordKind | None:
    if topic is None:
        return None
    for kind in SOURCE_NAMES:
        if topic == topics.source(kind) or topic.startswith(topics.embedded(kind, "")):
            return kind
    others: dict[str, RecordKind] = {topics.product_links: "product_links", topics.relink: "relink"}
    return others.get(topic)


def _version_header(record: KafkaRecord) -> int | None:
    value = header(record, headers.VERSION) or b""
    return int(value) if value.isdigit() and len(value) <= MAX_DIGITS else None
