"""Changes into SQLite, fenced by the version that each row holds."""

import asyncio
import json
import sqlite3
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from headrace_schemas.changes import Change
from headrace_sqlite.database import connect, transaction
from headrace_sqlite.settings import SqliteWorkerSettings
from headrace_worker.stage import Applied, Outcome, Superseded

# The fence: the comparison with what is stored and the write are one step. A delete is a row as well, without fields,
# because only what is remembered can keep an older change out.
UPSERT = """
    INSERT INTO entities (kind, id, version, deleted, fields) VALUES (?, ?, ?, ?, ?)
    ON CONFLICT (kind, id) DO UPDATE
    SET version = excluded.version, deleted = excluded.deleted, fields = excluded.fields
    WHERE excluded.version > entities.version
"""


@asynccontextmanager
async def open_stage(settings: SqliteWorkerSettings) -> AsyncIterator["SqliteStage"]:
    """The stage on a connection of its own, which is closed on exit."""
    connection = await asyncio.to_thread(connect, settings.sqlite)
    try:
        yield SqliteStage(connection)
    finally:
        connection.close()


class SqliteStage:
    """Keeps one table equal to the newest version of each entity."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._alone = asyncio.Lock()

    async def apply(self, changes: Sequence[Change]) -> Sequence[Outcome]:
        async with self._alone:
            return await asyncio.to_thread(self._write, changes)

    async def check(self) -> None:
        async with self._alone:
            await asyncio.to_thread(self._write, [])

    def _write(self, changes: Sequence[Change]) -> list[Outcome]:
        with transaction(self._connection) as connection:
            connection.executemany(UPSERT, map(row, changes))
            return [outcome(change, held_version(connection, change)) for change in changes]


def row(change: Change) -> tuple[object, ...]:
    """A row of `entities`."""
    fields = {} if change.deleted else {name: value for name, value in change.fields().items() if value is not None}
    return change.kind, change.id, change.version, change.deleted, json.dumps(fields, ensure_ascii=False)


def held_version(connection: sqlite3.Connection, change: Change) -> int:
    """What the table holds after the write: this version, or a newer one."""
    statement = "SELECT version FROM entities WHERE kind = ? AND id = ?"
    (version,) = connection.execute(statement, (change.kind, change.id)).fetchone()
    return int(version)


def outcome(change: Change, held: int) -> Outcome:
    """A version that was there already counts as applied: that is how a redelivery finds it."""
    return Superseded(by=held) if held > change.version else Applied()
