"""Damages of each kind, planted in the stores with their own clients, as a mishap leaves them."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import asyncpg
from elasticsearch import AsyncElasticsearch
from qdrant_client import AsyncQdrantClient, models

from harness.verification import DIMENSION, Catalogue
from headrace_clients.qdrant import VECTOR, collection_of, connect, point_id, version_fields
from headrace_schemas.fields import Kind

Plant = Callable[[str, int], Awaitable[None]]
"""Damages the product of this id, which the catalogue has at this version."""


class Damages:
    """`of`: by worker and name of the difference, how it is planted."""

    def __init__(self, catalogue: Catalogue, search: AsyncElasticsearch, sql: Any, points: AsyncQdrantClient) -> None:
        self._search, self._sql, self._points = search, sql, points
        names = catalogue.settings.names
        self._index = f"{names.public('products')}-v1"
        self._sets = f"{names.of_model('product_keywords')}-v1"
        self._links = f'{names.schema}."product_keywords__{names.model}"'
        self._linked = names.of_model("product_links")
        self._collection = collection_of("product", names)
        self._vectors = vectors = f'{names.schema}."product_vectors__{names.model}"'
        self._rows = rows = f"{names.schema}.products"
        self.of: Mapping[str, Mapping[str, Plant]] = {
            "elasticsearch": {
                "missing": self._es_missing,
                "stale": self._es_stale,
                "wrong_content": self._es_content,
                "ahead": self._es_ahead,
                "extra": self._es_extra,
                "resurrected": self._es_resurrected,
            },
            "pgvector": {
                "missing": self._pg(f"DELETE FROM {rows} WHERE product_id = $1"),
                "stale": self._pg(f"UPDATE {rows} SET version = version - 1, digest = NULL WHERE product_id = $1"),
                "wrong_content": self._pg(f"UPDATE {rows} SET title = 'another' WHERE product_id = $1"),
                "ahead": self._pg(f"UPDATE {rows} SET version = version + 7, digest = NULL WHERE product_id = $1"),
                "extra": self._pg(f"INSERT INTO {rows} (product_id, title, version) VALUES ($1 || '-x', 'x', 1)"),
                "resurrected": self._pg(
                    f"UPDATE {rows} SET title = 'x', deleted_at = NULL, version = version - 1, digest = NULL "
                    "WHERE product_id = $1"
                ),
                "wrong_vector": self._pg(f"UPDATE {vectors} SET embedding = '[1,0,0,0,0,0,0,0]' WHERE product_id = $1"),
                "missing_vector": self._pg(f"DELETE FROM {vectors} WHERE product_id = $1"),
            },
            "qdrant": {
                "missing": self._q_missing,
                "stale": self._q_stale,
                "wrong_content": self._q_payload(title="another"),
                "ahead": self._q_ahead,
                "extra": self._q_extra,
                "resurrected": self._q_resurrected,
                "wrong_vector": self._q_vector,
                "missing_vector": self._q_no_vector,
                "wrong_model": self._q_payload(model="another-model"),
            },
        }

    async def visible(self) -> None:
        """Makes what was planted visible to searches."""
        await self._search.indices.refresh(index=self._index)

    async def break_links(self, of_elasticsearch: str, of_pgvector: str, of_link: str) -> None:
        """Damages the link set of one product in each store of link sets."""
        document = dict((await self._search.get(index=self._sets, id=of_elasticsearch))["_source"])
        document["keywords"] = document["keywords"][1:]
        version = document["version"]
        await self._search.index(
            index=self._sets, id=of_elasticsearch, document=document, version=version, version_type="external_gte"
        )
        await self._sql.execute(
            f"UPDATE {self._links} SET score = 0.01 WHERE product_id = $1 AND rank = 1", of_pgvector
        )
        await self._points.set_payload(self._linked, {"texts": ["x", "y", "z"]}, [point_id(of_link)], wait=True)

    async def _es_missing(self, id: str, version: int) -> None:
        # Otherwise Elasticsearch remembers the version of the deleted document for a minute, as no emptied index does.
        await self._search.indices.put_settings(index=self._index, settings={"index.gc_deletes": "0s"})
        await self._search.delete(index=self._index, id=id)

    async def _es_rewritten(self, id: str, version: int, source: Mapping[str, Any]) -> None:
        # Elasticsearch remembers the version of a deleted document for a while: only a higher one can be indexed.
        await self._search.index(
            index=self._index, id=id, document=source, version=version, version_type="external_gte"
        )

    async def _es_source(self, id: str) -> dict[str, Any]:
        return dict((await self._search.get(index=self._index, id=id))["_source"])

    async def _es_stale(self, id: str, version: int) -> None:
        source = await self._es_source(id) | {"version": version - 1}
        source.pop("digest")
        await self._es_rewritten(id, version, source)

    async def _es_content(self, id: str, version: int) -> None:
        await self._es_rewritten(id, version, await self._es_source(id) | {"title": "another"})

    async def _es_ahead(self, id: str, version: int) -> None:
        source = await self._es_source(id) | {"version": version + 7}
        source.pop("digest")
        await self._es_rewritten(id, version + 7, source)

    async def _es_extra(self, id: str, version: int) -> None:
        source = {"product_id": f"{id}-x", "title": "x", "version": 1, "deleted": False}
        await self._es_rewritten(f"{id}-x", 1, source)

    async def _es_resurrected(self, id: str, version: int) -> None:
        source = {"product_id": id, "title": "x", "version": version, "deleted": False}
        await self._es_rewritten(id, version, source)

    def _pg(self, statement: str) -> Plant:
        async def plant(id: str, version: int) -> None:
            assert await self._sql.execute(statement, id) in ("DELETE 1", "UPDATE 1", "INSERT 0 1")

        return plant

    def _q_payload(self, **fields: Any) -> Plant:
        async def plant(id: str, version: int) -> None:
            await self._points.set_payload(self._collection, fields, [point_id(id)], wait=True)

        return plant

    async def _q_versioned(self, id: str, version: int) -> None:
        await self._points.set_payload(self._collection, version_fields(version), [point_id(id)], wait=True)
        await self._points.delete_payload(self._collection, ["digest"], [point_id(id)], wait=True)

    async def _q_missing(self, id: str, version: int) -> None:
        await self._points.delete(self._collection, models.PointIdsList(points=[point_id(id)]), wait=True)

    async def _q_stale(self, id: str, version: int) -> None:
        await self._q_versioned(id, version - 1)

    async def _q_ahead(self, id: str, version: int) -> None:
        await self._q_versioned(id, version + 7)

    async def _q_live(self, id: str, version: int) -> None:
        payload = {"product_id": id, "title": "x", "deleted": False} | version_fields(version)
        point = models.PointStruct(id=point_id(id), vector={VECTOR: [1.0] * DIMENSION}, payload=payload)
        await self._points.upsert(self._collection, [point], wait=True)

    async def _q_extra(self, id: str, version: int) -> None:
        await self._q_live(f"{id}-x", 1)

    async def _q_resurrected(self, id: str, version: int) -> None:
        await self._q_live(id, version - 1)

    async def _q_vector(self, id: str, version: int) -> None:
        vectors = models.PointVectors(id=point_id(id), vector={VECTOR: [1.0] + [0.0] * (DIMENSION - 1)})
        await self._points.update_vectors(self._collection, [vectors], wait=True)

    async def _q_no_vector(self, id: str, version: int) -> None:
        await self._points.delete_vectors(self._collection, [VECTOR], [point_id(id)], wait=True)


OF_A_DELETED = ("resurrected",)
"""The damages of a product that the catalogue has deleted."""


async def plant(
    damages: Damages, live: Sequence[str], deleted: Sequence[str], versions: Mapping[str, int]
) -> set[tuple[str, Kind, str, str]]:
    """One damage for each of these products, all kinds in turn; returns them as (worker, kind, id, difference)."""
    kinds = [(worker, name, how) for worker, of_worker in damages.of.items() for name, how in of_worker.items()]
    planted: set[tuple[str, Kind, str, str]] = set()
    left = {True: list(deleted), False: list(live)}
    place = 0
    while True:
        worker, name, how = kinds[place % len(kinds)]
        ids = left[name in OF_A_DELETED]
        if not ids:
            break
        id = ids.pop()
        await how(id, versions[id])
        planted.add((worker, "product", f"{id}-x" if name == "extra" else id, name))
        place += 1
    await damages.visible()
    return planted


@asynccontextmanager
async def open_damages(catalogue: Catalogue) -> AsyncIterator[Damages]:
    """The clients of the stores, closed at the end."""
    environment = catalogue.environment
    async with AsyncExitStack() as stack:
        search = AsyncElasticsearch(environment["HEADRACE_ELASTICSEARCH__URL"])
        stack.push_async_callback(search.close)
        sql = await asyncpg.connect(environment["HEADRACE_POSTGRES__DSN"])
        stack.push_async_callback(sql.close)
        points = connect(catalogue.settings_of("qdrant").qdrant)
        stack.push_async_callback(points.close)
        yield Damages(catalogue, search, sql, points)
