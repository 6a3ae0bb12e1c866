"""A change as a bulk action, and what Elasticsearch answers as what is stored."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple

from pydantic_core import to_json

from headrace_elasticsearch.indices import Index
from headrace_schemas.changes import CHANGES, KeywordChange, ProductChange
from headrace_schemas.fields import Kind
from headrace_shared.store import Stored

SourceChange = ProductChange | KeywordChange


class Action(NamedTuple):
    """One change and its two lines of a bulk request."""

    change: SourceChange
    lines: bytes


def action(change: SourceChange, index: Index, now: datetime) -> Action:
    """The change as an index action that Elasticsearch refuses unless its version is the newest."""
    fenced = {"_index": index.alias, "_id": change.id, "version": change.version, "version_type": "external"}
    lines = to_json({"index": fenced}) + b"\n" + to_json(document(change, index, now)) + b"\n"
    return Action(change, lines)


def document(change: SourceChange, index: Index, now: datetime) -> dict[str, Any]:
    """What is indexed for a change: the entity's fields that are not null, or a tombstone.

    A tombstone's `deleted_at` is the time of writing, so that its age counts from when this store learned of it.
    """
    if change.deleted:
        tombstone = {index.id_field: change.id, "version": change.version, "deleted": True}
        return tombstone | {"deleted_at": now.isoformat(timespec="milliseconds")}
    entity = {name: value for name, value in change.fields().items() if value is not None}
    return entity | {"version": change.version, "deleted": False}


def stored(kind: Kind, hit: Mapping[str, Any]) -> Stored:
    """A hit of a search or of an mget, with its `_version` and `_source`."""
    source = hit["_source"]
    deleted = source["deleted"]
    fields = {} if deleted else {name: source[name] for name in CHANGES[kind].field_names if name in source}
    return Stored(id=hit["_id"], version=hit["_version"], deleted=deleted, fields=fields)
