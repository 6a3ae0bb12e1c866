"""Converts a record to a bulk action, and a document to a stored entity or link set."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple

from orjson import dumps

from headrace_elasticsearch.indices import Index
from headrace_elasticsearch.languages import fields_of_language
from headrace_schemas.canary import CANARY_ID
from headrace_schemas.changes import CHANGES, KeywordChange, ProductChange
from headrace_schemas.digest import content_json, digest_of_content
from headrace_schemas.fields import Kind
from headrace_schemas.links import Link, ProductLinks
from headrace_worker.store import LinkedProduct, Stored

Indexed = ProductChange | KeywordChange | ProductLinks


LINES = (
    b'{"index":{"_index":"%b","_id":%b,"version":%d,"version_type":"external"}}\n%b,"deleted":%b,"version":%d%b%b}\n'
)
"""The fence, and the document, which begins with the fields of the record."""


class Action(NamedTuple):
    """One change and its two lines of a bulk request."""

    change: Indexed
    lines: bytes


def action(change: Indexed, index: Index, now: datetime) -> Action:
    """The change as an index action, which Elasticsearch refuses unless its version is the newest.

    The document has the record's fields that are not null, or is a tombstone, then what the fence and the aliases
    read, and then the texts for the fields of its language. The document of the canary has fields, and is marked as
    deleted, so that the filter of the aliases hides it.

    `deleted_at` of a tombstone is the time of the write, so that its age starts when this store receives it.
    """
    version = change.version
    if isinstance(change, ProductLinks):
        content, digest, of_language = dumps(_fields_of_links(change, index)), b"", b""
    else:
        # The digest hashes the same fields: they are written once for both.
        content = content_json(change)
        digest = b',"digest":"%b"' % digest_of_content(change, content).encode()
        of_language = b"" if change.deleted else _of_language(change)
    if change.deleted:
        state = b'true,"deleted_at":"%b"' % now.isoformat(timespec="milliseconds").encode()
    else:
        state = b"true" if change.id == CANARY_ID else b"false"
    of_fence = (index.alias.encode(), dumps(change.id), version)
    return Action(change, LINES % (*of_fence, content[:-1], state, version, digest, of_language))


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


def _of_language(change: ProductChange | KeywordChange) -> bytes:
    found = fields_of_language(change)
    return b',"%b":%b' % (found[0].encode(), dumps(found[1])) if found else b""


def _fields_of_links(change: ProductLinks, index: Index) -> dict[str, Any]:
    if change.deleted:
        return {index.id_field: change.id}
    return {"product_id": change.product_id, "title": change.title, "keywords": [vars(link) for link in change.links]}
