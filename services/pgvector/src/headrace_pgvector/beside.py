"""A second set of tables in a schema of its own, which `headrace rebuild` fills beside the set in use."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg

from headrace_clients.postgres import Connection, close_pool, new_pool, transaction
from headrace_clients.postgres_errors import STORE, postgres_errors
from headrace_pgvector.link_tables import DEFINITION, READERS
from headrace_pgvector.links import LINKS, SETS, LinkTables
from headrace_pgvector.preparation import prepare
from headrace_pgvector.settings import PgvectorSettings
from headrace_pgvector.tables import tables_of
from headrace_worker.beside import State
from headrace_worker.stage import Unavailable

VIEWS = ("live_products", "live_keywords", SETS, LINKS)
SCHEMA_EXISTS = "SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = $1)"
TABLES_OF = "SELECT tablename FROM pg_tables WHERE schemaname = $1 ORDER BY 1"
LOCK_MS = 500
"""The longest wait for one lock of the switch, milliseconds. Writers and readers wait behind it for as long. It is
shorter than PostgreSQL's `deadlock_timeout`, after which the server could end a reader that has one table and waits for
another.
"""
LOCK_SECONDS, PAUSE_SECONDS = 10.0, 0.2
"""How long the switch is tried, and the time between two tries, in which readers go on."""


def open_beside(settings: PgvectorSettings) -> "PgvectorBeside":
    """Both sets; the server may be down."""
    return PgvectorBeside(settings)


class PgvectorBeside:
    """The schema of the installation is always the one in use: the switch moves the tables between the schemas."""

    def __init__(self, settings: PgvectorSettings) -> None:
        self._settings = settings
        self._schema = settings.names.schema
        self._new = self._target().names.schema
        self._old = f"{self._schema}__old"

    async def state(self) -> State:
        async with self._transaction() as connection:
            if await connection.fetchval(SCHEMA_EXISTS, self._new):
                return "building"
            return "switched" if await connection.fetchval(SCHEMA_EXISTS, self._old) else "none"

    async def target(self) -> PgvectorSettings:
        return self._target()

    async def create(self) -> list[str]:
        return await prepare(self._target())

    async def switch(self) -> list[str]:
        """In one transaction. Statements that other connections have prepared find the new tables by their names."""
        deadline = time.monotonic() + LOCK_SECONDS
        while True:
            try:
                return await self._switch()
            except Unavailable as error:
                if not isinstance(error.__cause__, asyncpg.LockNotAvailableError) or time.monotonic() > deadline:
                    raise
            await asyncio.sleep(PAUSE_SECONDS)

    async def _switch(self) -> list[str]:
        async with self._transaction() as connection:
            await connection.execute(f"SET LOCAL lock_timeout = {LOCK_MS}")
            await connection.execute(f"CREATE SCHEMA IF NOT EXISTS {self._old}")
            shown = {view: await connection.fetchval(DEFINITION, view) for view in VIEWS}
            for table in self._tables():
                readers = await connection.fetch(READERS, table)
                await connection.execute(f'ALTER TABLE {self._schema}."{table}" SET SCHEMA {self._old}')
                await connection.execute(f'ALTER TABLE {self._new}."{table}" SET SCHEMA {self._schema}')
                for row in readers:
                    await connection.execute(f'GRANT SELECT ON {self._schema}."{table}" TO {row[0]}')
            for view, definition in shown.items():
                await connection.execute(f"CREATE OR REPLACE VIEW {self._schema}.{view} AS {definition}")
            # Its views and its list of migrations are left.
            await connection.execute(f"DROP SCHEMA {self._new} CASCADE")
        return [f"{STORE}: table {self._schema}.{table}" for table in self._tables()]

    async def drop_new(self) -> list[str]:
        async with self._transaction() as connection:
            await connection.execute(f"DROP SCHEMA IF EXISTS {self._new} CASCADE")
        return [f"{STORE}: schema {self._new} removed"]

    async def drop_old(self) -> list[str]:
        """Fails if a view of somebody else still shows a former table."""
        async with self._transaction() as connection:
            for row in await connection.fetch(TABLES_OF, self._old):
                await connection.execute(f'DROP TABLE {self._old}."{row[0]}"')
            await connection.execute(f"DROP SCHEMA IF EXISTS {self._old}")
        return [f"{STORE}: schema {self._old} removed"]

    async def close(self) -> None:
        """Nothing to do: each method has a connection of its own."""

    def _tables(self) -> list[str]:
        tables, links = tables_of(self._settings.model), LinkTables(self._settings.model)
        names = [name for table in tables.values() for name in (table.name, table.vector_table)]
        return [*names, links.sets.name, links.links_name]

    def _target(self) -> PgvectorSettings:
        """The schema `headrace__rebuild`. No namespace begins with an underscore."""
        namespace = f"{self._settings.namespace}__rebuild" if self._settings.namespace else "_rebuild"
        return self._settings.model_copy(update={"namespace": namespace})

    @asynccontextmanager
    async def _transaction(self) -> AsyncIterator[Connection]:
        pool = new_pool(self._settings.postgres, self._schema, 1)
        try:
            with postgres_errors("transaction"):
                await pool
                async with transaction(pool, self._settings.postgres.timeout) as connection:
                    yield connection
        finally:
            await close_pool(pool)
