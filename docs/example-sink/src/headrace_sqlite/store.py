"""The read side: what is stored, for the command line."""

import asyncio
import json
import sqlite3
from collections.abc import AsyncIterator, Sequence
from itertools import islice
from typing import Any

from headrace_schemas.fields import MAX_ID_BYTES, Kind
from headrace_schemas.links import ProductLinks
from headrace_sqlite import links
from headrace_sqlite.database import connect, sqlite_errors
from headrace_sqlite.settings import SqliteWorkerSettings
from headrace_worker.store import Hit, LinkedProduct, Query, Stored

TABLE = f"""
    CREATE TABLE IF NOT EXISTS entities (
        kind TEXT NOT NULL,
        id TEXT NOT NULL CONSTRAINT id_length CHECK (length(CAST(id AS BLOB)) BETWEEN 1 AND {MAX_ID_BYTES}),
        version INTEGER NOT NULL,
        deleted INTEGER NOT NULL,
        fields TEXT NOT NULL,
        digest TEXT,
        PRIMARY KEY (kind, id)
    ) WITHOUT ROWID
"""
HAS_DIGEST = "SELECT 1 FROM pragma_table_info('entities') WHERE name = 'digest'"
ADD_DIGEST = "ALTER TABLE entities ADD COLUMN digest TEXT"
"""For a file that an older release created."""
TABLES = "SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name"
COLUMNS = "id, version, deleted, fields, digest"
STORED = f"SELECT {COLUMNS} FROM entities WHERE kind = ? AND id IN (SELECT value FROM json_each(?))"  # noqa: S608
PAGE = f"SELECT {COLUMNS} FROM entities WHERE kind = ? AND id > ? ORDER BY id LIMIT 1000"  # noqa: S608
LIVE_COUNT = "SELECT count(*) FROM entities WHERE kind = ? AND NOT deleted"
SEARCH = f"""
    SELECT {COLUMNS} FROM (
        SELECT {COLUMNS}, coalesce(fields ->> 'title', fields ->> 'text') AS words FROM entities
        WHERE kind = ? AND NOT deleted
    )
    WHERE instr(lower(words), lower(?)) ORDER BY length(words)
"""  # noqa: S608


class SqliteStore:
    """The read side of the file, and its tables."""

    def __init__(self, settings: SqliteWorkerSettings) -> None:
        self._connection = connect(settings.sqlite)

    async def prepare(self) -> list[str]:
        before = await self._rows(TABLES)
        for statement in (TABLE, links.TABLE, links.INDEX):
            await self._rows(statement)
        made = [f"table {name}" for (name,) in await self._rows(TABLES) if (name,) not in before]
        if not await self._rows(HAS_DIGEST):
            await self._rows(ADD_DIGEST)
            made.append("column entities.digest")
        return made

    async def refresh(self) -> None:
        """Nothing to do: a committed row is visible."""

    async def scan(self, kind: Kind) -> AsyncIterator[Stored]:
        last = ""
        while page := await self._rows(PAGE, kind, last):
            for row in page:
                yield stored(row)
            last = page[-1][0]

    async def get(self, kind: Kind, ids: Sequence[str]) -> dict[str, Stored]:
        return {row[0]: stored(row) for row in await self._rows(STORED, kind, json.dumps(list(ids)))}

    async def search(self, query: Query) -> list[Hit]:
        """Live entities whose title or text contains the words as they are written, shortest first."""
        found = map(stored, await self._rows(SEARCH, query.kind, query.text))
        hits = (Hit(entity.id, 1.0, entity.fields) for entity in found if query.filters.accept(entity.fields))
        return list(islice(hits, query.limit))

    async def searchable(self, kind: Kind, ids: Sequence[str]) -> dict[str, int]:
        return {id: entity.version for id, entity in (await self.get(kind, ids)).items() if not entity.deleted}

    async def live_count(self, kind: Kind) -> int:
        ((number,),) = await self._rows(LIVE_COUNT, kind)
        return int(number)

    async def product_count(self, keyword_id: str) -> int:
        ((number,),) = await self._rows(links.PRODUCT_COUNT, keyword_id)
        return int(number)

    async def links_of(self, product_ids: Sequence[str]) -> dict[str, ProductLinks]:
        rows = await self._rows(links.SETS_OF, json.dumps(list(product_ids)))
        return {found.product_id: found for found in links.stored_sets(rows)}

    async def products_of(self, keyword_id: str, limit: int) -> list[LinkedProduct]:
        return links.linked_products(await self._rows(links.PRODUCTS_OF, keyword_id, limit))

    async def scan_links(self) -> AsyncIterator[ProductLinks]:
        last = ""
        while page := list(links.stored_sets(await self._rows(links.PAGE_OF_SETS, last))):
            for found in page:
                yield found
            last = page[-1].product_id

    async def close(self) -> None:
        self._connection.close()

    async def _rows(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        return await asyncio.to_thread(fetched, self._connection, statement, values)


def fetched(connection: sqlite3.Connection, statement: str, values: Sequence[object]) -> list[tuple[Any, ...]]:
    """All rows of a statement. Raises Unavailable."""
    with sqlite_errors():
        return connection.execute(statement, values).fetchall()


def stored(row: tuple[Any, ...]) -> Stored:
    """A row of COLUMNS."""
    id, version, deleted, fields, digest = row
    return Stored(id, version, bool(deleted), json.loads(fields), digest=digest)
