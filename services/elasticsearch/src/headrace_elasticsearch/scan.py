"""A scan of the indices by id, for the comparison with the topics."""

from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from elasticsearch import ApiError
from pydantic_core import from_json

from headrace_elasticsearch import reading
from headrace_elasticsearch.client import connect
from headrace_elasticsearch.documents import action
from headrace_elasticsearch.errors import CONFLICT, STORE
from headrace_elasticsearch.indices import indices
from headrace_elasticsearch.preparation import existing_index
from headrace_elasticsearch.reading import answering, documents, page, point_in_time
from headrace_elasticsearch.settings import ElasticsearchWorkerSettings
from headrace_schemas.canary import CANARY_ID
from headrace_schemas.changes import CHANGES, KeywordChange, ProductChange
from headrace_schemas.fields import Kind
from headrace_schemas.topics import SOURCE_NAMES
from headrace_worker.scan import Page, Scanned
from headrace_worker.stage import Unavailable
from headrace_worker.store import Stored

REMOVED = (200, 404, CONFLICT)
"""The document is gone, or has changed since it was found."""
BEYOND_ALL = b"\xff"
"""Above every id in UTF-8. Documents without an id come last."""


class ElasticsearchScan:
    """Reads the physical indices, which have the tombstones, as of one moment. A key is a document's `_id` in UTF-8."""

    def __init__(self, settings: ElasticsearchWorkerSettings) -> None:
        self._client = connect(settings.elasticsearch)
        self._indices = indices(settings.names, settings.elasticsearch.analyzer)

    def key(self, id: str) -> bytes:
        return id.encode()

    async def pages(self, kind: Kind, after: bytes = b"", upto: bytes | None = None) -> AsyncIterator[Page]:
        index = self._indices[kind]
        async with answering():
            physical = await existing_index(self._client, index)
        query, sort, last = between(index.id_field, after, upto), [{index.id_field: "asc"}], None
        async with point_in_time(self._client, physical) as pit:
            while True:
                hits = await page(self._client, pit, last, sort=sort, query=query)
                rows = [scanned(kind, hit) for hit in hits if hit["_id"] != CANARY_ID]
                if len(hits) < reading.PAGE:
                    yield Page(rows, None)
                    return
                last = hits[-1]["sort"]
                yield Page(rows, BEYOND_ALL if last[0] is None else last[0].encode())

    async def read(self, kind: Kind, keys: Sequence[bytes]) -> dict[bytes, Scanned]:
        ids = [key.decode(errors="replace") for key in keys]
        async with answering():
            physical = await existing_index(self._client, self._indices[kind])
            found = await documents(self._client, physical, ids)
        return {document["_id"].encode(): scanned(kind, document) for document in found}

    async def mend(self, kind: Kind, seen: Scanned, change: ProductChange | KeywordChange) -> None:
        """Replaces the document also where it has the version of the change already, but never a newer one than was
        seen. What another writer has put there meanwhile under that version is the same content.
        """
        index = self._indices[kind]
        _, document, _ = action(change, index, datetime.now(UTC)).lines.split(b"\n")
        async with answering():
            physical = await existing_index(self._client, index)
            try:
                await self._client.index(
                    index=physical, id=seen.key.decode(), document=from_json(document),
                    version=max(seen.fence, change.version), version_type="external_gte",
                )  # fmt: skip
            except ApiError as error:
                if error.status_code != CONFLICT:
                    raise

    async def purge(self, kind: Kind, before: datetime) -> int:
        """A tombstone that a worker replaces meanwhile stays: each is removed only as it was found."""
        index = self._indices[kind]
        old = [{"term": {"deleted": True}}, {"range": {"deleted_at": {"lt": before.isoformat()}}}]
        query = {"bool": {"filter": old, "must_not": {"term": {index.id_field: CANARY_ID}}}}
        removed = 0
        async with answering():
            physical = await existing_index(self._client, index)
            while True:
                answer = await self._client.search(
                    index=physical, query=query, size=reading.PAGE, source=False, seq_no_primary_term=True
                )
                hits = answer["hits"]["hits"]
                removed_now = await self._remove(physical, hits) if hits else 0
                removed += removed_now
                if not removed_now:
                    return removed

    async def refresh(self) -> None:
        async with answering():
            await self._client.indices.refresh(index=[self._indices[kind].alias for kind in SOURCE_NAMES])

    async def close(self) -> None:
        await self._client.close()

    async def _remove(self, physical: str, hits: Sequence[Mapping[str, Any]]) -> int:
        """Removes these documents unless they have changed since; how many were removed."""
        operations = [
            {"delete": {"_id": hit["_id"], "if_seq_no": hit["_seq_no"], "if_primary_term": hit["_primary_term"]}}
            for hit in hits
        ]
        answer = await self._client.bulk(index=physical, operations=operations, refresh=True)
        done = [item["delete"] for item in answer["items"]]
        if failed := [one for one in done if one["status"] not in REMOVED]:
            raise Unavailable(STORE, f"{failed[0]['status']} {failed[0]['error']['type']}")
        return sum(one["status"] == 200 for one in done)


def scanned(kind: Kind, hit: Mapping[str, Any]) -> Scanned:
    """A document of a search or of an mget, also one that is not written by a worker.

    Its version is the one that it has as a field, which every write of a worker sets together with `_version`.
    """
    source = hit.get("_source") or {}
    names = CHANGES[kind].field_names
    fields = {name: source[name] for name in names if source.get(name) is not None}
    deleted = source.get("deleted") is True
    if deleted:
        fields.pop(names[0], None)
    version = source.get("version")
    version = version if type(version) is int else hit["_version"]
    digest = source.get("digest")
    stored = Stored(hit["_id"], version, deleted, fields, digest=digest if isinstance(digest, str) else None)
    return Scanned(hit["_id"].encode(), stored, hit["_version"])


def between(field: str, after: bytes, upto: bytes | None) -> dict[str, Any]:
    """The documents with an id in this range; those without one belong to its open end."""
    if not after and upto is None:
        return {"match_all": {}}
    limits = {"gt": after.decode()} | ({} if upto is None else {"lte": upto.decode()})
    if upto is not None:
        return {"range": {field: limits}}
    return {"bool": {"should": [{"range": {field: limits}}, {"bool": {"must_not": {"exists": {"field": field}}}}]}}
