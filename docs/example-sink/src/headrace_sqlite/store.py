"""What the file holds, for the command line."""

import asyncio
import json
import sqlite3
from collections.abc import AsyncIterator, Sequence
from typing import Any

from headrace_schemas.fields import MAX_ID_BYTES, Kind
from headrace_sqlite.database import connect, sqlite_errors
from headrace_sqlite.settings import SqliteWorkerSettings
from headrace_worker.store import Hit, Query, Stored

TABLE = f"""
    CREATE TABLE IF NOT EXISTS entities (
        kind TEXT NOT NULL,
        id TEXT NOT NULL CONSTRAINT id_length CHECK (length(CAST(id AS BLOB)) BETWEEN 1 AND {MAX_ID_BYTES}),
        version INTEGER NOT NULL,
        deleted INTEGER NOT NULL,
        fields TEXT NOT NULL,
        PRIMARY KEY (kind, id)
    ) WITHOUT ROWID
"""
COLUMNS = "id, version, deleted, fields"
HELD = f"SELECT {COLUMNS} FROM entities WHERE kind = ? AND id IN (SELECT value FROM json_each(?))"  # noqa: S608
PAGE = f"SELECT {COLUMNS} FROM entities WHERE kind = ? AND id > ? ORDER BY id LIMIT 1000"  # noqa: S608
SEARCH = f"""
    SELECT {COLUMNS} FROM (
        SELECT {COLUMNS}, coalesce(fields ->> 'title', fields ->> 'text') AS words FROM entities
        WHERE kind = ? AND NOT deleted
    )
    WHERE instr(lower(words), lower(?)) ORDER BY length(words) LIMIT ?
"""  # noqa: S608


class SqliteStore:
    """The read side of the file, and its table."""

    def __init__(self, settings: SqliteWorkerSettings) -> None:
        self._connection = connect(settings.sqlite)

    async def prepare(self) -> list[str]:
        known = await self._rows("SELECT name FROM sqlite_schema WHERE name = 'entities'")
        await self._rows(TABLE)
        return [] if known else ["table entities"]

    async def refresh(self) -> None:
        """Nothing to do: a committed row is visible."""

    async def scan(self, kind: Kind) -> AsyncIterator[Stored]:
        last = ""
        while page := await self._rows(PAGE, kind, last):
            for held in page:
                yield stored(held)
            last = page[-1][0]

    async def get(self, kind: Kind, ids: Sequence[str]) -> dict[str, Stored]:
        return {held[0]: stored(held) for held in await self._rows(HELD, kind, json.dumps(list(ids)))}

    async def search(self, query: Query) -> list[Hit]:
        """Live entities whose title or text holds the words as they are written, shortest first."""
        found = [stored(held) for held in await self._rows(SEARCH, query.kind, query.text, query.limit)]
        return [Hit(entity.id, 1.0, entity.fields) for entity in found]

    async def close(self) -> None:
        self._connection.close()

    async def _rows(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        return await asyncio.to_thread(fetched, self._connection, statement, values)


def fetched(connection: sqlite3.Connection, statement: str, values: Sequence[object]) -> list[tuple[Any, ...]]:
    """All rows of a statement. Raises Unavailable."""
    with sqlite_errors():
        return connection.execute(statement, values).fetchall()


def stored(held: tuple[Any, ...]) -> Stored:
    """A row of COLUMNS."""
    id, version, deleted, fields = held
    return Stored(id, version, bool(deleted), json.loads(fields))
