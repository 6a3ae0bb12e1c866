"""Converts a record to a bulk action, and a document to a stored entity or link set."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple

from pydantic_core import to_json

from headrace_elasticsearch.indices import Index
from headrace_schemas.canary import CANARY_ID
from headrace_schemas.changes import CHANGES, KeywordChange, ProductChange
from headrace_schemas.digest import content_json, digest_of_content
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
    version = change.version
    fence = b'{"index":{"_index":"%b","_id":%b,"version":%d,"version_type":"external"}}'
    head = fence % (index.alias.encode(), to_json(change.id), version)
    return Action(change, b"%b\n%b\n" % (head, document(change, index, now)))


def document(change: Indexed, index: Index, now: datetime) -> bytes:
    """The JSON of a change's document: the record's fields that are not null, or a tombstone, and then what the fence
    and the aliases read. The document of the canary has fields, and is marked as deleted, so that the filter of the
    aliases hides it.

    `deleted_at` of a tombstone is the time of the write, so that its age starts when this store receives it.
    """
    if isinstance(change, ProductLinks):
        content, digest = to_json(_fields_of_links(change, index), exclude_none=True), b""
    else:
        # The digest hashes the same fields: they are written once for both.
        content = content_json(change)
        digest = b',"digest":"%b"' % digest_of_content(change, content).encode()
    if change.deleted:
        state = b'true,"deleted_at":"%b"' % now.isoformat(timespec="milliseconds").encode()
    else:
        state = b"true" if change.id == CANARY_ID else b"false"
    return b'%b,"deleted":%b,"version":%d%b}' % (content[:-1], state, change.version, digest)


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


def _fields_of_links(change: ProductLinks, index: Index) -> dict[str, Any]:
    if change.deleted:
        return {index.id_field: change.id}
    keywords = [link.model_dump() for link in change.links]
    return {"product_id": change.product_id, "title": change.title, "keywords": keywords}
