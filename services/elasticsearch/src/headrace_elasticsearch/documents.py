"""Converts a record to a bulk action, and a document to a stored entity or link set."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple

from pydantic_core import to_json

from headrace_elasticsearch.indices import Index
from headrace_schemas.canary import CANARY_ID
from headrace_schemas.changes import CHANGES, KeywordChange, ProductChange
from headrace_schemas.digest import digest_of
from headrace_schemas.fields import Kind
from headrace_schemas.links import Link, ProductLinks
from headrace_worker.store import LinkedProduct, Stored

Indexed = ProductChange | KeywordChange | ProductLinks


class Action(NamedTuple):
    """One change and its two lines of a bulk request."""

    change: Indexed
    lines: bytes


def action(change: Indexed, index: Index, now: datetime) -> Action:
    """The change as an index action, which Elasticsearch refuses unless its version is the newest."""
    fenced = {"_index": index.alias, "_id": change.id, "version": change.version, "version_type": "external"}
    lines = to_json({"index": fenced}) + b"\n" + to_json(document(change, index, now)) + b"\n"
    return Action(change, lines)


def document(change: Indexed, index: Index, now: datetime) -> dict[str, Any]:
    """The document of a change: the record's fields that are not null, or a tombstone. The document of the canary has
    fields, and is marked as deleted, so that the filter of the aliases hides it.

    `deleted_at` of a tombstone is the time of the write, so that its age starts when this store receives it.
    """
    if change.deleted:
        own = {index.id_field: change.id, "deleted": True, "deleted_at": now.isoformat(timespec="milliseconds")}
    else:
        own = {name: value for name, value in _fields(change).items() if value is not None}
        own["deleted"] = change.id == CANARY_ID
    own["version"] = change.version
    if digest := digest_of(change):
        own["digest"] = digest
    return own


def stored(kind: Kind, hit: Mapping[str, Any]) -> Stored:
    """`hit`: of a search or of an mget, with `_version` and `_source`."""
    source = hit["_source"]
    deleted = source["deleted"]
    fields = {} if deleted else {name: source[name] for name in CHANGES[kind].field_names if name in source}
    return Stored(id=hit["_id"], version=hit["_version"], deleted=deleted, fields=fields, digest=source.get("digest"))


def stored_links(hit: Mapping[str, Any]) -> ProductLinks:
    """The link set of such a hit, as it is stored, without validation."""
    source = hit["_source"]
    deleted = source["deleted"]
    return ProductLinks.model_construct(
        product_id=hit["_id"],
        version=hit["_version"],
        deleted=deleted,
        title=None if deleted else source.get("title"),
        links=() if deleted else tuple(Link.model_construct(**link) for link in source.get("keywords", ())),
    )


def linked_product(hit: Mapping[str, Any]) -> LinkedProduct:
    """`hit`: of a search for one keyword; its inner hit is the link to that keyword."""
    (link,) = (inner["_source"] for inner in hit["inner_hits"]["keywords"]["hits"]["hits"])
    return LinkedProduct(hit["_id"], hit["_source"]["title"], link["rank"], link["score"])


def _fields(change: Indexed) -> dict[str, Any]:
    if isinstance(change, ProductLinks):
        keywords = [link.model_dump() for link in change.links]
        return {"product_id": change.product_id, "title": change.title, "keywords": keywords}
    return change.fields()
