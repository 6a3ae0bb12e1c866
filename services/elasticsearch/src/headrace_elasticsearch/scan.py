"""A scan of the indices by id, for the comparison with the topics."""

from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from elasticsearch import ApiError, TransportError

from headrace_elasticsearch.client import connect
from headrace_elasticsearch.errors import STORE, unavailable
from headrace_elasticsearch.indices import Index, indices
from headrace_elasticsearch.preparation import write_index
from headrace_elasticsearch.settings import ElasticsearchWorkerSettings
from headrace_schemas.canary import CANARY_ID
from headrace_schemas.changes import CHANGES
from headrace_schemas.fields import Kind
from headrace_schemas.topics import SOURCE_NAMES
from headrace_worker.scan import Page, Scanned
from headrace_worker.stage import Unavailable
from headrace_worker.store import Stored

PAGE = 1000
KEEP_ALIVE = "5m"
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
        async with _answering():
            opened = await self._client.open_point_in_time(index=await self._physical(index), keep_alive=KEEP_ALIVE)
        pit, last = opened["id"], None
        try:
            while True:
                hits = await self._page(pit, index, between(index.id_field, after, upto), last)
                rows = [scanned(kind, hit) for hit in hits if hit["_id"] != CANARY_ID]
                if len(hits) < PAGE:
                    yield Page(rows, None)
                    return
                last = hits[-1]["sort"]
                yield Page(rows, BEYOND_ALL if last[0] is None else last[0].encode())
        finally:
            async with _answering():
                await self._client.close_point_in_time(id=pit)

    async def read(self, kind: Kind, keys: Sequence[bytes]) -> dict[bytes, Scanned]:
        found: dict[bytes, Scanned] = {}
        async with _answering():
            physical = await self._physical(self._indices[kind])
            for start in range(0, len(keys), PAGE):
                ids = [key.decode(errors="replace") for key in keys[start : start + PAGE]]
                answer = await self._client.mget(index=physical, ids=ids)
                for document in answer["docs"]:
                    if "error" in document:
                        raise Unavailable(STORE, str(document["error"]["type"]))
                    if document["found"]:
                        found[document["_id"].encode()] = scanned(kind, document)
        return found

    async def refresh(self) -> None:
        async with _answering():
            await self._client.indices.refresh(index=[self._indices[kind].alias for kind in SOURCE_NAMES])

    async def close(self) -> None:
        await self._client.close()

    async def _page(
        self, pit: str, index: Index, query: dict[str, Any], after: list[Any] | None
    ) -> list[dict[str, Any]]:
        async with _answering():
            answer = await self._client.search(
                pit={"id": pit, "keep_alive": KEEP_ALIVE},
                query=query,
                sort=[{index.id_field: "asc"}],
                search_after=after,
                size=PAGE,
                version=True,
                track_total_hits=False,
            )
        hits: list[dict[str, Any]] = answer["hits"]["hits"]
        return hits

    async def _physical(self, index: Index) -> str:
        physical = await write_index(self._client, index.alias)
        if physical is None:
            raise Unavailable(STORE, f"there is no alias {index.alias}: create it with `headrace stores apply`")
        return physical


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
    stored = Stored(hit["_id"], version, deleted, fields, digest=source.get("digest"))
    return Scanned(hit["_id"].encode(), stored, hit["_version"])


def between(field: str, after: bytes, upto: bytes | None) -> dict[str, Any]:
    """The documents with an id in this range; those without one belong to its open end."""
    if not after and upto is None:
        return {"match_all": {}}
    limits = {"gt": after.decode()} | ({} if upto is None else {"lte": upto.decode()})
    if upto is not None:
        return {"range": {field: limits}}
    return {"bool": {"should": [{"range": {field: limits}}, {"bool": {"must_not": {"exists": {"field": field}}}}]}}


@asynccontextmanager
async def _answering() -> AsyncGenerator[None]:
    """Turns every failure of a request into Unavailable."""
    try:
        yield
    except (ApiError, TransportError) as error:
        raise unavailable(error) from None
