"""The entity of a dead letter, as far as the record names it."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from pydantic_core import SchemaValidator, ValidationError, core_schema

from headrace_letters.failure_report import Headers
from headrace_letters.storable_text import storable
from headrace_runtime.decoder import KafkaRecord
from headrace_schemas import headers
from headrace_schemas.changes import CHANGES, ID_FIELDS
from headrace_schemas.embedded import EMBEDDED
from headrace_schemas.fields import MAX_DIGITS, MAX_ID_BYTES, MAX_VERSION, RecordKind
from headrace_schemas.links import ProductLinks, RelinkRequest, Sweep
from headrace_schemas.topics import SOURCE_NAMES, Topics

BY_SCHEMA: Mapping[str, RecordKind] = {
    model.schema_name: model.kind
    for model in (*CHANGES.values(), *EMBEDDED.values(), ProductLinks, RelinkRequest, Sweep)
}


_FIELD = core_schema.typed_dict_field(core_schema.any_schema(), required=False)
_SAID = SchemaValidator(core_schema.typed_dict_schema(dict.fromkeys((*ID_FIELDS.values(), "version"), _FIELD)))
"""The fields that are read from a payload. They may have any type, so that one wrong field does not hide the others."""


class Subject(NamedTuple):
    """The entity and the version; a value that the record does not have is None."""

    kind: RecordKind | None
    id: str | None
    version: int | None


def subject(record: KafkaRecord, found: Headers, topic: str | None, topics: Topics) -> Subject:
    """The record's entity. `found`: its headers; `topic`: the topic of the original record. Never raises."""
    said = _said(record.value)
    named = [(kind, said[field]) for kind, field in ID_FIELDS.items() if isinstance(said.get(field), str)]
    kind = _by_schema(found) or _by_topic(topic, topics) or (named[0][0] if named else None)
    version = said.get("version") if said else _version_header(found)
    if type(version) is not int or not 1 <= version <= MAX_VERSION:
        version = None
    return Subject(kind, storable(named[0][1] if named else record.key, MAX_ID_BYTES) or None, version)


def _said(value: bytes | None) -> Mapping[str, Any]:
    if value is None:
        return {}
    try:
        said: Mapping[str, Any] = _SAID.validate_json(value)
    except ValidationError:
        return {}
    return said


def _by_schema(found: Headers) -> RecordKind | None:
    name = found.get(headers.SCHEMA, b"").partition(b"/")[0]
    return BY_SCHEMA.get(name.decode(errors="replace"))


def _by_topic(topic: str | None, topics: Topics) -> RecordKind | None:
    if topic is None:
        return None
    for kind in SOURCE_NAMES:
        if topic == topics.source(kind) or topic.startswith(topics.embedded(kind, "")):
            return kind
    requests: dict[str, RecordKind] = {topics.relink: "relink", topics.relink_bulk: "relink"}
    others: dict[str, RecordKind] = {topics.product_links: "product_links", **requests}
    return others.get(topic)


def _version_header(found: Headers) -> int | None:
    value = found.get(headers.VERSION, b"")
    return int(value) if value.isdigit() and len(value) <= MAX_DIGITS else None
