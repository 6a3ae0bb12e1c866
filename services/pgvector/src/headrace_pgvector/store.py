"""The read side: what is stored in PostgreSQL, for the command line."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import numpy as np
from pydantic_core import from_json

from headrace_clients.postgres import Connection, close_pool, new_pool, transaction
from headrace_clients.postgres_errors import postgres_errors
from headrace_pgvector.link_tables import check_unused, drop_tables, other_model, serve_link_tables
from headrace_pgvector.links import LinkTables, stored_sets
from headrace_pgvector.preparation import prepare
from headrace_pgvector.settings import PgvectorSettings
from headrace_pgvector.tables import Tables, tables_of
from headrace_pgvector.vector_pool import vector_pool
from headrace_schemas.canary import CANARY_ID, version_in
from headrace_schemas.fields import Kind
from headrace_schemas.links import ProductLinks
from headrace_worker.store import Filters, Hit, LinkedProduct, Query, Stored

PAGE = 2000
READERS = 2
MIN_EF_SEARCH, MAX_EF_SEARCH = 200, 1000
"""The maximum is pgvector's; for larger limits the iterative scan finds the rest. With pgvector's default, 40, a
search can stay in the cluster where it enters the graph: a model forms such clusters of languages that it does not
know. In the generated catalogue it then found none of the ten nearest, and with 200 all of them, in a dozen graphs.
"""
SEARCH_SETTINGS = """
    SELECT set_config('hnsw.ef_search', $1, true), set_config('hnsw.iterative_scan', 'strict_order', true)
"""


class PgvectorStore:
    """Reads the tables, and creates them."""

    def __init__(self, settings: PgvectorSettings) -> None:
        self._settings = settings
        self._tables = tables_of(settings.model)
        self._links = LinkTables(settings.model)
        self._pool = vector_pool(settings, READERS)

    async def prepare(self) -> list[str]:
        return await prepare(self._settings)

    async def serve(self) -> list[str]:
        async with self._transaction() as connection:
            return await serve_link_tables(connection, self._links)

    async def other_model(self) -> str | None:
        # The other connections need the extension, which an empty database does not have yet.
        pool = new_pool(self._settings.postgres, self._settings.names.schema, 1)
        try:
            with postgres_errors("transaction"):
                await pool
                async with transaction(pool, self._settings.postgres.timeout) as connection:
                    return await other_model(connection, self._links)
        finally:
            await close_pool(pool)

    async def check_unused(self) -> None:
        async with self._transaction() as connection:
            await check_unused(connection, self._links)

    async def drop_model(self) -> list[str]:
        async with self._transaction() as connection:
            vectors = [table.vector_table for table in self._tables.values()]
            return await drop_tables(connection, self._links, vectors)

    async def refresh(self) -> None:
        """Nothing to do: a committed row is visible."""

    async def scan(self, kind: Kind) -> AsyncIterator[Stored]:
        """Reads in pages, each in a transaction of its own, so that a slow reader does not block vacuum."""
        tables = self._tables[kind]
        last = ""
        while rows := await self._fetch(tables.stored_page, last, PAGE):
            for row in rows:
                if row[tables.id] != CANARY_ID:
                    yield stored(tables, row)
            last = rows[-1][tables.id]

    async def get(self, kind: Kind, ids: Sequence[str]) -> dict[str, Stored]:
        tables = self._tables[kind]
        return {row[tables.id]: stored(tables, row) for row in await self._fetch(tables.stored_ids, list(ids))}

    async def search(self, query: Query) -> list[Hit]:
        """By cosine. Raises ValueError if the query has no vector, or one that the index was not built for."""
        tables = self._tables[query.kind]
        if query.vector is None:
            raise ValueError("pgvector searches by vector, and the query has none")
        vector = np.asarray(query.vector, dtype=np.float32)
        async with self._transaction() as connection:
            await check_index(connection, tables, len(vector))
            await connection.execute(SEARCH_SETTINGS, str(min(max(query.limit, MIN_EF_SEARCH), MAX_EF_SEARCH)))
            wanted, values = conditions(query.filters)
            rows = await connection.fetch(tables.nearest(wanted), vector, query.limit, *values)
            if len(rows) < query.limit:
                # There are no more, or the index scan reached its limit among rows that are not wanted.
                rows = await connection.fetch(tables.nearest(wanted, exact=True), vector, query.limit, *values)
        return [Hit(row[tables.id], row["score"], fields(tables, row)) for row in rows]

    async def searchable(self, kind: Kind, ids: Sequence[str]) -> dict[str, int]:
        tables = self._tables[kind]
        return {row[0]: row[1] for row in await self._fetch(tables.searchable, list(ids))}

    async def live_count(self, kind: Kind) -> int:
        ((number,),) = await self._fetch(self._tables[kind].live_count)
        return int(number)

    async def product_count(self, keyword_id: str) -> int:
        ((number,),) = await self._fetch(self._links.product_count, keyword_id)
        return int(number)

    async def links_of(self, product_ids: Sequence[str]) -> dict[str, ProductLinks]:
        rows = await self._fetch(self._links.sets_of, list(product_ids))
        return {links.product_id: links for links in stored_sets(rows)}

    async def products_of(self, keyword_id: str, limit: int) -> list[LinkedProduct]:
        rows = await self._fetch(self._links.products_of, keyword_id, limit)
        return [LinkedProduct(row["product_id"], row["title"], row["rank"], row["score"]) for row in rows]

    async def scan_links(self) -> AsyncIterator[ProductLinks]:
        """Reads in pages, each in a transaction of its own, so that a slow reader does not block vacuum."""
        last = ""
        while sets := list(stored_sets(await self._fetch(self._links.page_of_sets, last, PAGE))):
            for links in sets:
                if links.product_id != CANARY_ID:
                    yield links
            last = sets[-1].product_id

    async def canary_version(self, kind: Kind) -> int | None:
        rows = await self._fetch(self._tables[kind].canary, CANARY_ID)
        return rows[0]["version"] if rows else None

    async def linked_canary_version(self) -> int | None:
        rows = await self._fetch(self._links.text_of_link, CANARY_ID, CANARY_ID)
        return version_in(rows[0]["text"]) if rows else None

    async def close(self) -> None:
        await close_pool(self._pool)

    async def _fetch(self, statement: str, *arguments: object) -> list[asyncpg.Record]:
        async with self._transaction() as connection:
            return await connection.fetch(statement, *arguments)

    @asynccontextmanager
    async def _transaction(self) -> AsyncIterator[Connection]:
        with postgres_errors("transaction"):
            await self._pool
            async with transaction(self._pool, self._settings.postgres.timeout) as connection:
                yield connection


async def check_index(connection: Connection, tables: Tables, dimension: int) -> None:
    """Raises ValueError unless there is an index of this model, for vectors of this dimension."""
    found = await connection.fetchval(tables.dimension)
    if found is None:
        others = [row["model"] for row in await connection.fetch(tables.indexed_models)]
        there = f"indexed models: {', '.join(others)}" if others else "nothing is indexed yet"
        raise ValueError(f"PostgreSQL has no {tables.name} indexed with {tables.model}; {there}")
    if found != dimension:
        raise ValueError(f"the index has vectors of {found} dimensions, the query's has {dimension}: another model")


def stored(tables: Tables, row: asyncpg.Record) -> Stored:
    """A row of `Tables.stored`."""
    values = {} if row["deleted"] else fields(tables, row)
    model = tables.model if row["content_hash"] else None
    return Stored(row[tables.id], row["version"], row["deleted"], values, row["content_hash"], model, row["digest"])


def conditions(filters: Filters) -> tuple[list[str], list[Any]]:
    """What the rows of a search must have besides, and the values of its parameters, which begin with $3."""
    comparisons: list[tuple[str, str, str | float]]
    comparisons = [("t." + name, "=", text) for name, text in filters.texts.items()]
    limits = ((">=", filters.min_price), ("<=", filters.max_price))
    comparisons += [("t.price", sign, limit) for sign, limit in limits if limit is not None]
    written = [f"{column} {sign} ${number}" for number, (column, sign, _) in enumerate(comparisons, 3)]
    return written, [value for _, _, value in comparisons]


def fields(tables: Tables, row: asyncpg.Record) -> dict[str, Any]:
    """The entity's own fields that are not null."""
    values = {column: row[column] for column in tables.columns if row[column] is not None}
    if "attributes" in values:
        values["attributes"] = from_json(values["attributes"])
    return values
