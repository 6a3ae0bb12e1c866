"""A scan of the tables by id, for the comparison with the topics."""

from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from typing import Any

import asyncpg
import numpy as np

from headrace_clients.postgres import NewConnection, close_pool, transaction
from headrace_clients.postgres_errors import postgres_errors
from headrace_pgvector.mend import put_in_place_of
from headrace_pgvector.settings import PgvectorSettings
from headrace_pgvector.store import stored
from headrace_pgvector.tables import Tables, tables_of
from headrace_pgvector.vector_pool import vector_pool
from headrace_schemas.canary import CANARY_ID
from headrace_schemas.embedded import EmbeddedChange
from headrace_schemas.fields import Kind
from headrace_worker.scan import Page, Scanned

PAGE = 1000
READERS = 2


class PgvectorScan:
    """Reads the rows with their own vectors in pages, each in a transaction of its own. A key is an id in UTF-8."""

    def __init__(self, settings: PgvectorSettings) -> None:
        self._settings = settings
        self._tables = tables_of(settings.model)
        self._pool = vector_pool(settings, READERS, self._create_incoming)

    def key(self, id: str) -> bytes:
        return id.encode()

    async def pages(self, kind: Kind, after: bytes = b"", upto: bytes | None = None) -> AsyncIterator[Page]:
        tables = self._tables[kind]
        last, end = after.decode(), upto.decode() if upto is not None else None
        while True:
            rows = await self._fetch(page_of(tables), last, end, PAGE)
            found = [scanned(tables, row) for row in rows if row[tables.id] != CANARY_ID]
            if len(rows) < PAGE:
                yield Page(found, None)
                return
            last = rows[-1][tables.id]
            yield Page(found, last.encode())

    async def read(self, kind: Kind, keys: Sequence[bytes]) -> dict[bytes, Scanned]:
        tables = self._tables[kind]
        found: dict[bytes, Scanned] = {}
        for start in range(0, len(keys), PAGE):
            # No row has a key that is not UTF-8, or that contains a null character.
            ids = [id for key in keys[start : start + PAGE] if (id := _id(key))]
            found |= {row[tables.id].encode(): scanned(tables, row) for row in await self._fetch(those(tables), ids)}
        return found

    async def mend(self, kind: Kind, seen: Scanned, change: EmbeddedChange) -> None:
        with postgres_errors("write"):
            await self._pool
            async with transaction(self._pool, self._settings.postgres.timeout) as connection:
                await put_in_place_of(connection, self._tables[kind], seen, change)

    async def purge(self, kind: Kind, before: datetime) -> int:
        tables = self._tables[kind]
        statement = f"DELETE FROM {tables.rows.table} WHERE deleted_at < $1 AND {tables.id} <> $2 RETURNING 1"  # noqa: S608
        return len(await self._fetch(statement, before, CANARY_ID))

    async def refresh(self) -> None:
        """Nothing to do: a committed row is visible."""

    async def close(self) -> None:
        await close_pool(self._pool)

    async def _create_incoming(self, connection: NewConnection) -> None:
        for tables in self._tables.values():
            await connection.execute(tables.rows.create_incoming)

    async def _fetch(self, statement: str, *arguments: object) -> list[asyncpg.Record]:
        with postgres_errors("scan"):
            await self._pool
            async with transaction(self._pool, self._settings.postgres.timeout) as connection:
                return await connection.fetch(statement, *arguments)


def page_of(tables: Tables) -> str:
    """$1: the id after which the page begins; $2: the last id, or null; $3: the size of the page."""
    where = f"t.{tables.id} > $1 AND ($2::text IS NULL OR t.{tables.id} <= $2)"
    return f"{_rows(tables)} WHERE {where} ORDER BY t.{tables.id} LIMIT $3"


def those(tables: Tables) -> str:
    """$1: ids."""
    return f"{_rows(tables)} WHERE t.{tables.id} = ANY($1)"


def scanned(tables: Tables, row: asyncpg.Record) -> Scanned:
    """A row of one of these statements."""
    vector: Any = row["embedding"]
    own = None if vector is None else np.asarray(vector.to_numpy(), "<f4").tobytes()
    return Scanned(row[tables.id].encode(), stored(tables, row), row["version"], own)


def _rows(tables: Tables) -> str:
    """As `Tables.stored`, with the vector."""
    fields = ", ".join(f"t.{column}" for column in tables.columns)
    return f"""
        SELECT {fields}, t.version, t.deleted_at IS NOT NULL AS deleted, t.digest, v.content_hash, v.embedding
        FROM {tables.rows.name} t LEFT JOIN {tables.vectors} v ON v.{tables.id} = t.{tables.id} AND {tables.own_vector}
    """  # noqa: S608


def _id(key: bytes) -> str:
    try:
        id = key.decode()
    except UnicodeDecodeError:
        return ""
    return "" if "\0" in id else id
