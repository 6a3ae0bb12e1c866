"""Changes into PostgreSQL, fenced by the version that each row stores."""

import asyncio
import math
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from itertools import chain
from typing import TypeVar

import asyncpg

from headrace_clients.postgres import NewConnection, Pool, close_pool, transaction
from headrace_clients.postgres_errors import STORE, postgres_errors
from headrace_pgvector.entities import replace_entities
from headrace_pgvector.fence import Kept
from headrace_pgvector.links import LinkTables, replace_sets
from headrace_pgvector.settings import PgvectorSettings
from headrace_pgvector.tables import Tables, tables_of
from headrace_pgvector.vector_pool import vector_pool
from headrace_schemas.digest import differ, digest_of
from headrace_schemas.embedded import EmbeddedChange
from headrace_schemas.fields import Kind, RecordKind
from headrace_schemas.forget_record import Forget
from headrace_schemas.links import ProductLinks
from headrace_worker.parts import write_parts
from headrace_worker.stage import Applied, Conflict, Outcome, Superseded, Unavailable
from headrace_worker.vectors import vector_fault

Written = EmbeddedChange | ProductLinks
Key = tuple[RecordKind, str]
W = TypeVar("W", bound=Written)

WRITERS = 4
"""Transactions at once: most of the time goes into the HNSW index, and each backend fills it on a core of its own."""
SMALLEST_PART, LARGEST_PART = 64, 500
"""Rows of one transaction: few enough that a slow server finishes them long before the time limit."""
CHECK_SECONDS = 5.0


@asynccontextmanager
async def open_stage(settings: PgvectorSettings) -> AsyncIterator["PgvectorStage"]:
    """The stage with its connections; the server may be down."""
    tables, links = tables_of(settings.model), LinkTables(settings.model)

    async def create_incoming(connection: NewConnection) -> None:
        for fenced in (*(table.rows for table in tables.values()), links.sets):
            await connection.execute(fenced.create_incoming)

    # One more than the writers use: the health check needs a connection while all of them are busy.
    pool = await vector_pool(settings, WRITERS + 1, create_incoming)
    try:
        yield PgvectorStage(pool, tables, links, settings.postgres.timeout)
    finally:
        await close_pool(pool)


class PgvectorStage:
    """Keeps PostgreSQL equal to the newest version of each entity and link set. A part of a batch is a transaction."""

    def __init__(self, pool: Pool, tables: dict[Kind, Tables], links: LinkTables, timeout: float) -> None:
        self._pool = pool
        self._tables = tables
        self._links = links
        self._timeout = timeout
        self._dimensions: dict[Kind, int] = {}
        self._writers = asyncio.Semaphore(WRITERS)

    async def apply(self, changes: Sequence[Written]) -> Sequence[Outcome]:
        found = await self._vector_faults([change for change in changes if not isinstance(change, ProductLinks)])
        parts = parts_of([change for change in changes if key(change) not in found])
        found |= zip(map(key, chain(*parts)), await write_parts(parts, self._write, self._writers), strict=True)
        return [found[key(change)] for change in changes]

    async def forget(self, record: Forget) -> Outcome:
        """The row is that of all models; the worker of each model removes the vector of its own."""
        tables = self._tables[record.kind]
        with postgres_errors("write"):
            async with transaction(self._pool, self._timeout) as connection:
                await connection.execute(tables.forget, record.id, record.version)
                await connection.execute(tables.remove_vectors_without_row, [record.id])
                stored = await connection.fetch(tables.rows.versions, [record.id])
        return Superseded(by=stored[0][1]) if stored and stored[0][1] > record.version else Applied()

    async def check(self) -> None:
        with postgres_errors("check"):
            async with transaction(self._pool, min(CHECK_SECONDS, self._timeout)) as connection:
                await connection.execute("SELECT 1")

    async def _vector_faults(self, changes: Sequence[EmbeddedChange]) -> dict[Key, Outcome]:
        """The outcomes of the changes whose vector cannot be stored."""
        dimensions = await self._stored_dimensions()
        faults = {
            key(change): vector_fault(change, self._tables[change.kind].model, dimensions[change.kind], STORE)
            for change in changes
        }
        return {of: fault for of, fault in faults.items() if fault is not None}

    async def _stored_dimensions(self) -> dict[Kind, int]:
        """The dimension of each vector column, read once: it never changes."""
        if not self._dimensions:
            with postgres_errors("read"):
                async with transaction(self._pool, self._timeout) as connection:
                    found = {kind: await connection.fetchval(table.dimension) for kind, table in self._tables.items()}
            if missing := [table.vectors for kind, table in self._tables.items() if found[kind] is None]:
                raise Unavailable(STORE, f"no table {missing[0]}; has `headrace stores apply` been run?")
            self._dimensions = found
        return self._dimensions

    async def _write(self, part: Sequence[Written]) -> list[Outcome]:
        """Writes changes of one kind in one transaction. Raises Unavailable or BatchRejected."""
        sets = [change for change in part if isinstance(change, ProductLinks)]
        entities = [change for change in part if not isinstance(change, ProductLinks)]
        with postgres_errors("write"):
            if sets:
                async with transaction(self._pool, self._timeout) as connection:
                    kept = await replace_sets(connection, self._links, sets)
            else:
                kept = await self._write_entities(self._tables[entities[0].kind], entities)
        return [outcome(change, kept.get(change.id)) for change in part]

    async def _write_entities(self, tables: Tables, changes: Sequence[EmbeddedChange]) -> dict[str, Kept]:
        try:
            async with transaction(self._pool, self._timeout) as connection:
                return await replace_entities(connection, tables, changes)
        except asyncpg.UniqueViolationError:
            # Somebody has removed rows and left their vectors.
            async with transaction(self._pool, self._timeout) as connection:
                await connection.execute(tables.remove_vectors_without_row, [change.id for change in changes])
                return await replace_entities(connection, tables, changes)


def key(change: Written) -> Key:
    return change.kind, change.id


def parts_of(changes: Sequence[Written]) -> list[Sequence[Written]]:
    """Parts of one kind each, so that an error of one table does not fail the changes of another."""
    alike: dict[RecordKind, list[Written]] = {}
    for change in changes:
        alike.setdefault(change.kind, []).append(change)
    return [part for of_kind in alike.values() for part in even_parts(of_kind)]


def even_parts(alike: Sequence[W]) -> list[Sequence[W]]:
    """Parts of equal size, as many as there are writers, unless they would be too small or too large."""
    size = min(max(SMALLEST_PART, math.ceil(len(alike) / WRITERS)), LARGEST_PART)
    return [alike[start : start + size] for start in range(0, len(alike), size)]


def outcome(change: Written, kept: Kept | None) -> Outcome:
    """`kept`: what was stored before and stays; None where the change was written."""
    if kept is None:
        return Applied()
    if kept.version > change.version:
        return Superseded(by=kept.version)
    return Conflict() if differ(kept.digest, digest_of(change)) else Applied()
