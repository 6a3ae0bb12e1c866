"""Changes into SQLite, fenced by the version that each row stores."""

import asyncio
import json
import sqlite3
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from headrace_schemas.changes import Change
from headrace_schemas.digest import differ, digest_of
from headrace_schemas.forget_record import Forget
from headrace_schemas.links import ProductLinks
from headrace_sqlite.database import connect, transaction
from headrace_sqlite.links import replace_links
from headrace_sqlite.settings import SqliteWorkerSettings
from headrace_worker.stage import Applied, Conflict, Outcome, Superseded

Written = Change | ProductLinks

# The fence: SQLite compares the versions and writes in one step. A delete is written too, as a row without fields: the
# stored version keeps a late older change out.
UPSERT = """
    INSERT INTO entities (kind, id, version, deleted, fields, digest) VALUES (?, ?, ?, ?, ?, ?)
    ON CONFLICT (kind, id) DO UPDATE
    SET version = excluded.version, deleted = excluded.deleted, fields = excluded.fields, digest = excluded.digest
    WHERE excluded.version > entities.version
"""
STORED = "SELECT version, digest FROM entities WHERE kind = ? AND id = ?"
FORGET = "DELETE FROM entities WHERE kind = ? AND id = ? AND version = ?"


@asynccontextmanager
async def open_stage(settings: SqliteWorkerSettings) -> AsyncIterator["SqliteStage"]:
    """The stage with its connection, which is closed on exit."""
    connection = await asyncio.to_thread(connect, settings.sqlite)
    try:
        yield SqliteStage(connection)
    finally:
        connection.close()


class SqliteStage:
    """Keeps the tables equal to the newest version of each entity and link set.

    A batch is one transaction. A sink that writes a batch in several requests uses
    `headrace_worker.parts.write_parts`.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._lock = asyncio.Lock()

    async def apply(self, changes: Sequence[Written]) -> Sequence[Outcome]:
        async with self._lock:
            return await asyncio.to_thread(self._write, changes)

    async def forget(self, record: Forget) -> Outcome:
        """Takes back a version that was published by mistake (`headrace forget`)."""
        async with self._lock:
            return await asyncio.to_thread(self._forget, record)

    async def check(self) -> None:
        async with self._lock:
            await asyncio.to_thread(self._write, [])

    def _forget(self, record: Forget) -> Outcome:
        with transaction(self._connection) as connection:
            connection.execute(FORGET, (record.kind, record.id, record.version))
            left = connection.execute(STORED, (record.kind, record.id)).fetchone()
            return Superseded(by=left[0]) if left and left[0] > record.version else Applied()

    def _write(self, changes: Sequence[Written]) -> list[Outcome]:
        with transaction(self._connection) as connection:
            for change in changes:
                written = connection.execute(UPSERT, row(change)).rowcount
                if written and isinstance(change, ProductLinks):
                    replace_links(connection, change)
            return [outcome(change, *stored_version(connection, change)) for change in changes]


def row(change: Written) -> tuple[object, ...]:
    """A row of `entities`."""
    values = {"title": change.title} if isinstance(change, ProductLinks) else change.fields()
    fields = {} if change.deleted else {name: value for name, value in values.items() if value is not None}
    values_as_json = json.dumps(fields, ensure_ascii=False)
    return change.kind, change.id, change.version, change.deleted, values_as_json, digest_of(change)


def stored_version(connection: sqlite3.Connection, change: Written) -> tuple[int, str | None]:
    """What is stored after the write: the change's own version, or a newer one, and the digest."""
    version, digest = connection.execute(STORED, (change.kind, change.id)).fetchone()
    return version, digest


def outcome(change: Written, version: int, digest: str | None) -> Outcome:
    """A redelivered change finds its own version and digest, which is Applied."""
    if version > change.version:
        return Superseded(by=version)
    return Conflict() if differ(digest, digest_of(change)) else Applied()
