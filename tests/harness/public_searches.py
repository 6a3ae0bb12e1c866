"""What readers find under the public names of the stores, and the objects behind them.

It uses the servers' own interfaces and none of the product's readers, so that it sees what any reader sees.
"""

import asyncio
import contextlib
import re
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import asyncpg
import httpx

from headrace_clients.qdrant import VECTOR
from headrace_worker.store_names import StoreNames

LIMIT = 10_000
DIMENSION = 384
PAUSE_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class Answer:
    """`versions`: of each product. `linked`: the keywords of each product's links. `models`: of what was found, as far
    as a store has it by model.
    """

    versions: Mapping[str, int]
    linked: Mapping[str, frozenset[str]]
    models: frozenset[str]


class PublicNames:
    """The stores of one installation. `environment`: its HEADRACE_ variables."""

    def __init__(self, environment: Mapping[str, str], names: StoreNames) -> None:
        self._names = names
        self._elasticsearch = environment["HEADRACE_ELASTICSEARCH__URL"]
        self._qdrant = environment["HEADRACE_QDRANT__URL"]
        self._dsn = environment["HEADRACE_POSTGRES__DSN"]
        self._http = httpx.AsyncClient(timeout=30)

    async def close(self) -> None:
        await self._http.aclose()

    async def answer(self, store: str) -> Answer:
        """What a search for everything finds in the store of this worker, entities first."""
        found: Answer = await getattr(self, f"_{store}_answer")()
        return found

    async def objects(self) -> dict[str, Any]:
        """The indices, collections and tables of the installation, with the names that lead to them."""
        indices = (await self._read(f"{self._elasticsearch}/{self._names.namespace}*/_alias")).items()
        collections = await self._read(f"{self._qdrant}/collections")
        aliases = (await self._read(f"{self._qdrant}/aliases"))["result"]["aliases"]
        own = self._names.namespace
        async with self._connection() as connection:
            tables = await connection.fetch(
                "SELECT n.nspname || '.' || c.relname, c.relkind::text,"
                " CASE c.relkind WHEN 'v' THEN pg_get_viewdef(c.oid) END"
                " FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
                " WHERE n.nspname LIKE 'headrace_' || $1 || '%' AND c.relkind IN ('r', 'v')",
                own,
            )
            schemas = await connection.fetch("SELECT nspname FROM pg_namespace WHERE nspname ~ $1", own)
        return {
            "elasticsearch": {index: sorted(found["aliases"]) for index, found in indices},
            "collections": sorted(one["name"] for one in collections["result"]["collections"] if own in one["name"]),
            "aliases": {one["alias_name"]: one["collection_name"] for one in aliases if own in one["alias_name"]},
            "tables": {row[0]: (row[1], row[2]) for row in tables},
            "schemas": sorted(row[0] for row in schemas),
        }

    async def _elasticsearch_answer(self) -> Answer:
        hits = await self._hits("products")
        links = await self._hits("product_keywords")
        indices = {hit["_index"] for hit in hits}
        assert len(indices) == 1, f"a search has read {indices}"
        linked = {
            hit["_id"]: frozenset(link["keyword_id"] for link in hit["_source"].get("keywords", ())) for hit in links
        }
        models = frozenset(re.sub(r"^.*product_keywords__(.*)-v\d+$", r"\1", hit["_index"]) for hit in links)
        return Answer({hit["_id"]: hit["_source"]["version"] for hit in hits}, linked, models)

    async def _qdrant_answer(self) -> Answer:
        live = {"must": [{"key": "deleted", "match": {"value": False}}]}
        body = {"query": [1.0] + [0.0] * (DIMENSION - 1), "using": VECTOR, "params": {"exact": True}, "filter": live}
        body |= {"limit": LIMIT, "with_payload": True}
        points = [one["payload"] for one in (await self._points("products", "query", body))["points"]]
        body = {"filter": live, "limit": LIMIT, "with_payload": True}
        sets = [one["payload"] for one in (await self._points("product_links", "scroll", body))["points"]]
        return Answer(
            {one["product_id"]: one["version"] for one in points},
            {one["product_id"]: frozenset(one.get("keyword_ids", ())) for one in sets if "title" in one},
            frozenset(one["model"] for one in points),
        )

    async def _pgvector_answer(self) -> Answer:
        schema = self._names.schema
        async with self._connection() as connection:
            async with connection.transaction(isolation="repeatable_read"):
                links = await connection.fetch(f"SELECT product_id, keyword_id, score FROM {schema}.product_keywords")
                of_model = await self._links_of_each_model(connection)
            products = await connection.fetch(f"SELECT product_id, version FROM {schema}.live_products")
        linked: dict[str, set[str]] = {}
        for row in links:
            linked.setdefault(row[0], set()).add(row[1])
        models = frozenset(model for model, rows in of_model.items() if rows == {tuple(row) for row in links})
        return Answer({row[0]: row[1] for row in products}, {id: frozenset(of) for id, of in linked.items()}, models)

    async def _links_of_each_model(self, connection: Any) -> dict[str, set[tuple[Any, ...]]]:
        schema = self._names.schema
        tables = await connection.fetch(
            "SELECT tablename FROM pg_tables WHERE schemaname = $1 AND tablename LIKE 'product_keywords\\_\\_%'", schema
        )
        found = {}
        for (table,) in tables:
            # A table may be removed meanwhile.
            with contextlib.suppress(asyncpg.UndefinedTableError):
                async with connection.transaction():
                    rows = await connection.fetch(f'SELECT product_id, keyword_id, score FROM {schema}."{table}"')
                found[table.partition("__")[2]] = {tuple(row) for row in rows}
        return found

    async def _hits(self, name: str) -> list[Any]:
        url = f"{self._elasticsearch}/{self._names.public(name)}/_search"
        found = await self._http.post(url, json={"query": {"match_all": {}}, "size": LIMIT})
        answered = found.raise_for_status().json()
        assert answered["_shards"]["failed"] == 0, answered["_shards"]
        return list(answered["hits"]["hits"])

    async def _points(self, name: str, what: str, body: Any) -> Any:
        url = f"{self._qdrant}/collections/{self._names.public(name)}/points/{what}"
        return (await self._http.post(url, json=body)).raise_for_status().json()["result"]

    async def _read(self, url: str) -> Any:
        return (await self._http.get(url)).raise_for_status().json()

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[Any]:
        connection = await asyncpg.connect(self._dsn)
        try:
            yield connection
        finally:
            await connection.close()


@dataclass
class Searcher:
    """Searches every store all the time. `products`, `keywords`: everything that lives, in every answer."""

    public: PublicNames
    products: Sequence[str]
    keywords: Sequence[str]
    answers: Counter[str] = field(default_factory=Counter)

    async def search(self, store: str) -> None:
        """Until it is cancelled. Raises AssertionError if an answer lacks something, mixes two models, or has an older
        version than the one before from the same model.
        """
        seen: dict[frozenset[str], dict[str, int]] = {}
        while True:
            found = await self.public.answer(store)
            self._check(store, found, seen.setdefault(found.models, {}))
            self.answers[store] += 1
            await asyncio.sleep(PAUSE_SECONDS)

    def _check(self, store: str, found: Answer, seen: dict[str, int]) -> None:
        assert len(found.models) == 1, f"{store} answers with {sorted(found.models)}"
        assert found.versions.keys() == set(self.products), f"{store} finds {sorted(found.versions)}"
        complete = dict.fromkeys(self.products, frozenset(self.keywords))
        assert found.linked == complete, f"{store} links {found.linked}"
        for id, version in found.versions.items():
            assert version >= seen.get(id, 0), f"{store}: {id} steps back from {seen[id]} to {version}"
            seen[id] = version
