"""The read side: what the indices store, and what a search finds."""

import time
from collections.abc import AsyncIterator, Sequence
from typing import Any

from elasticsearch import AsyncElasticsearch

from headrace_elasticsearch.client import connect
from headrace_elasticsearch.documents import linked_product, stored, stored_links
from headrace_elasticsearch.indices import Index, Indices, indices
from headrace_elasticsearch.languages import searched_fields
from headrace_elasticsearch.preparation import check_unused, drop_model, existing_index, other_model, prepare, serve
from headrace_elasticsearch.queries import (
    allowed,
    by_score_of,
    canary,
    canary_linked_to_canary,
    has_link_to,
    linked_to,
    matching,
)
from headrace_elasticsearch.reading import answering, documents, page, parts, point_in_time
from headrace_elasticsearch.settings import ElasticsearchWorkerSettings
from headrace_schemas.canary import CANARY_ID, version_in
from headrace_schemas.fields import Kind, RecordKind
from headrace_schemas.links import ProductLinks
from headrace_worker.store import Hit, LinkedProduct, Query, Stored

PHYSICAL_SECONDS = 30.0


class ElasticsearchStore:
    """Reads the indices. Searches use the aliases, everything else uses the physical indices."""

    def __init__(self, client: AsyncElasticsearch, indices: Indices) -> None:
        self._client = client
        self._indices = indices
        self._physical_of: dict[str, str] = {}
        self._physical_until = 0.0

    async def prepare(self) -> list[str]:
        """Creates or migrates the indices and aliases; one line for each thing that it created."""
        async with answering():
            return [line for index in self._indices.values() for line in await prepare(self._client, index)]

    async def serve(self) -> list[str]:
        """Moves the public alias of the link sets to the index of this model."""
        async with answering():
            return [line for index in self._indices.values() for line in await serve(self._client, index)]

    async def other_model(self) -> str | None:
        async with answering():
            return await other_model(self._client, self._indices["product_links"])

    async def check_unused(self) -> None:
        async with answering():
            await check_unused(self._client, self._indices["product_links"])

    async def drop_model(self) -> list[str]:
        async with answering():
            return await drop_model(self._client, self._indices["product_links"])

    async def refresh(self) -> None:
        """Makes every acknowledged write visible to a search."""
        async with answering():
            await self._client.indices.refresh(index=[index.alias for index in self._indices.values()])

    async def scan(self, kind: Kind) -> AsyncIterator[Stored]:
        """Everything stored of a kind as of one moment, tombstones included, in no order."""
        async for document in self._scan(kind):
            yield stored(kind, document)

    async def scan_links(self) -> AsyncIterator[ProductLinks]:
        """Every link set as of one moment, tombstones included, in no order."""
        async for document in self._scan("product_links"):
            yield stored_links(document)

    async def get(self, kind: Kind, ids: Sequence[str]) -> dict[str, Stored]:
        """What is stored for these ids, tombstones included; an unknown id is missing."""
        return {document["_id"]: stored(kind, document) for document in await self._get(kind, ids)}

    async def links_of(self, product_ids: Sequence[str]) -> dict[str, ProductLinks]:
        """The link sets stored for these products, tombstones included; an unknown id is missing."""
        return {found["_id"]: stored_links(found) for found in await self._get("product_links", product_ids)}

    async def search(self, query: Query) -> list[Hit]:
        """The best live entities for the query's text; its vector is not used."""
        index = self._indices[query.kind]
        async with answering():
            answer = await self._client.search(
                index=index.alias,
                query=allowed(matching(query.text, searched_fields(query.text, index.searched)), query.filters),
                size=query.limit,
                version=True,
            )
        hits = answer["hits"]["hits"]
        return [Hit(id=hit["_id"], score=hit["_score"], fields=stored(query.kind, hit).fields) for hit in hits]

    async def products_of(self, keyword_id: str, limit: int) -> list[LinkedProduct]:
        """The live products linked to a keyword: by score, highest first, then by id."""
        alias = self._indices["product_links"].alias
        async with answering():
            answer = await self._client.search(
                index=alias,
                query=linked_to(keyword_id),
                sort=by_score_of(keyword_id),
                size=limit,
                source_includes="title",
            )
        return [linked_product(hit) for hit in answer["hits"]["hits"]]

    async def searchable(self, kind: Kind, ids: Sequence[str]) -> dict[str, int]:
        """The versions of these entities that a search finds: those before the last refresh."""
        found: dict[str, int] = {}
        for some in parts(ids):
            async with answering():
                answer = await self._client.search(
                    index=self._indices[kind].alias, query={"ids": {"values": some}}, size=len(some), version=True,
                    source=False,
                )  # fmt: skip
            found |= {hit["_id"]: hit["_version"] for hit in answer["hits"]["hits"]}
        return found

    async def live_count(self, kind: Kind) -> int:
        """The entities that are not deleted, as of the last refresh."""
        async with answering():
            answer = await self._client.count(index=self._indices[kind].alias)
        return int(answer["count"])

    async def product_count(self, keyword_id: str) -> int:
        """The live products linked to a keyword, as of the last refresh."""
        async with answering():
            answer = await self._client.count(index=self._indices["product_links"].alias, query=has_link_to(keyword_id))
        return int(answer["count"])

    async def canary_version(self, kind: Kind) -> int | None:
        """The version of the canary that a search finds."""
        index = self._indices[kind]
        hits = await self._search_canary(index, canary(index), None)
        return hits[0]["_version"] if hits else None

    async def linked_canary_version(self) -> int | None:
        """The version of the canary keyword in the set of the canary product that a search finds."""
        index = self._indices["product_links"]
        hits = await self._search_canary(index, canary_linked_to_canary(index), "keywords.text")
        return version_in(hits[0]["_source"]["keywords"][0]["text"]) if hits else None

    async def close(self) -> None:
        """Closes the connections."""
        await self._client.close()

    async def _search_canary(self, index: Index, query: dict[str, Any], field: str | None) -> list[dict[str, Any]]:
        """Searches behind the alias, whose filter hides the canary. The physical index is looked up every 30 s."""
        async with answering():
            if time.monotonic() > self._physical_until:
                self._physical_of, self._physical_until = {}, time.monotonic() + PHYSICAL_SECONDS
            if index.alias not in self._physical_of:
                self._physical_of[index.alias] = await existing_index(self._client, index)
            answer = await self._client.search(
                index=self._physical_of[index.alias],
                query=query,
                size=1,
                version=True,
                source_includes=field,
                source=None if field else False,
                track_total_hits=False,
            )
        hits: list[dict[str, Any]] = answer["hits"]["hits"]
        return hits

    async def _get(self, kind: RecordKind, ids: Sequence[str]) -> list[dict[str, Any]]:
        """The documents with these ids."""
        async with answering():
            physical = await existing_index(self._client, self._indices[kind])
            return await documents(self._client, physical, ids)

    async def _scan(self, kind: RecordKind) -> AsyncIterator[dict[str, Any]]:
        async with answering():
            physical = await existing_index(self._client, self._indices[kind])
        async with point_in_time(self._client, physical) as pit:
            after: list[Any] | None = None
            while hits := await page(self._client, pit, after, sort=["_shard_doc"]):
                for hit in hits:
                    if hit["_id"] != CANARY_ID:
                        yield hit
                after = hits[-1]["sort"]


def open_store(settings: ElasticsearchWorkerSettings) -> ElasticsearchStore:
    """The store with its client, which `close` closes."""
    return ElasticsearchStore(connect(settings.elasticsearch), indices(settings.names, settings.elasticsearch.analyzer))
