"""Changes into PostgreSQL, fenced by the version that each row holds."""

import asyncio
import math
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager

import numpy as np
from pgvector import Vector
from pydantic_core import to_json

from headrace_pgvector.connect import Connection, NewConnection, Pool, close_pool, new_pool, transaction
from headrace_pgvector.errors import STORE, postgres_errors
from headrace_pgvector.settings import PgvectorSettings
from headrace_pgvector.tables import SCHEMA, Tables, tables_of
from headrace_schemas.embedded import EmbeddedChange
from headrace_schemas.fields import Kind
from headrace_schemas.topics import SOURCE_NAMES
from headrace_shared.stage import Applied, BatchRejected, Outcome, Rejected, Superseded, Unavailable

Key = tuple[Kind, str]

WRITERS = 4
"""Transactions at once: the HNSW index takes most of the time, and each backend fills it on a core of its own."""
SMALLEST_SHARE, LARGEST_SHARE = 64, 500
"""Rows of one transaction: so few that a slow server is done with them long before the time limit."""
CHECK_SECONDS = 5.0


@asynccontextmanager
async def open_stage(settings: PgvectorSettings) -> AsyncIterator["PgvectorStage"]:
    """The stage with its connections; the server need not be up."""
    tables = tables_of(settings.model)

    async def create_incoming(connection: NewConnection) -> None:
        for table in tables.values():
            await connection.execute(table.create_incoming)

    # One more than the writers use: health is asked for while all of them are busy.
    pool = await new_pool(settings.postgres, WRITERS + 1, create_incoming)
    try:
        yield PgvectorStage(pool, tables, settings.postgres.timeout)
    finally:
        await close_pool(pool)


class PgvectorStage:
    """Keeps PostgreSQL equal to the newest version of each entity."""

    def __init__(self, pool: Pool, tables: dict[Kind, Tables], timeout: float) -> None:
        self._pool = pool
        self._tables = tables
        self._timeout = timeout
        self._dimensions: dict[Kind, int] = {}
        self._writers = asyncio.Semaphore(WRITERS)

    async def apply(self, changes: Sequence[EmbeddedChange]) -> Sequence[Outcome]:
        dimensions = await self._stored_dimensions()
        outcomes: dict[Key, Outcome] = {}
        for change in changes:
            if fault := vector_fault(change, self._tables[change.kind].model, dimensions[change.kind]):
                outcomes[key(change)] = fault
        batches = shares([change for change in changes if key(change) not in outcomes])
        answers = await asyncio.gather(*(self._write(batch) for batch in batches), return_exceptions=True)
        for batch, answer in zip(batches, answers, strict=True):
            outcomes |= settled(batch, answer)
        failures = [outcome for outcome in outcomes.values() if isinstance(outcome, Unavailable)]
        if failures and len(failures) == len(changes):
            raise failures[0]
        refusals = [answer for answer in answers if isinstance(answer, BatchRejected)]
        if refusals and not failures:
            raise refusals[0]
        return [outcomes[key(change)] for change in changes]

    async def check(self) -> None:
        with postgres_errors():
            async with transaction(self._pool, min(CHECK_SECONDS, self._timeout)) as connection:
                await connection.execute("SELECT 1")

    async def _stored_dimensions(self) -> dict[Kind, int]:
        """What the vector columns accept, asked once: the dimension of a table never changes."""
        if not self._dimensions:
            with postgres_errors():
                async with transaction(self._pool, self._timeout) as connection:
                    found = {kind: await connection.fetchval(table.dimension) for kind, table in self._tables.items()}
            if missing := [table.vectors for kind, table in self._tables.items() if found[kind] is None]:
                raise Unavailable(STORE, f"no table {missing[0]}; has `headrace stores apply` been run?")
            self._dimensions = found
        return self._dimensions

    async def _write(self, changes: Sequence[EmbeddedChange]) -> dict[Key, Outcome]:
        """Changes of one kind, in one transaction. Raises Unavailable or BatchRejected."""
        tables = self._tables[changes[0].kind]
        with postgres_errors():
            async with self._writers, transaction(self._pool, self._timeout) as connection:
                await copy_incoming(connection, tables, changes)
                written = {row[0]: row[1] for row in await connection.fetch(tables.write_newer)}
                kept = [change.id for change in changes if change.id not in written]
                rows = await connection.fetch(tables.kept, kept) if kept else []
                # Another model's worker may have written the row; the vector of this model is still owed.
                same = {row[0]: False for row in rows if row[2]}
                await replace_vectors(connection, tables, changes, written | same)
        stored: dict[str, int] = {row[0]: row[1] for row in rows}
        return {key(change): outcome(change, stored.get(change.id)) for change in changes}


async def copy_incoming(connection: Connection, tables: Tables, changes: Iterable[EmbeddedChange]) -> None:
    """Everything but the vectors, which go straight to their table once it is known which of them are wanted."""
    await connection.copy_records_to_table(
        tables.incoming,
        schema_name="pg_temp",
        columns=tables.incoming_columns,
        records=[incoming_row(tables, change) for change in changes],
    )


async def replace_vectors(
    connection: Connection, tables: Tables, changes: Iterable[EmbeddedChange], written: Mapping[str, bool]
) -> None:
    """`written`: the ids whose rows hold these changes, and whether each row is new.

    The lock on an entity's row also covers its vector; ON CONFLICT locks the rows that it leaves as they are, too.
    """
    updated = [id for id, is_new in written.items() if not is_new]
    rows = await connection.fetch(tables.remove_changed_vectors, updated) if updated else []
    wanted = written.keys() - {row[0] for row in rows}
    await connection.copy_records_to_table(
        tables.vector_table,
        schema_name=SCHEMA,
        columns=(tables.id, "content_hash", "embedding"),
        records=[
            (change.id, change.embedding.content_hash, Vector(np.frombuffer(change.embedding.vector, "<f4")))
            for change in changes
            if change.embedding is not None and change.id in wanted
        ],
    )


def incoming_row(tables: Tables, change: EmbeddedChange) -> tuple[object, ...]:
    """One row of the temporary table. A delete's fields, if it has any, are not stored."""
    if change.deleted:
        return (change.id, *(None for _ in tables.columns[1:]), change.version, True, None)
    values = (column_value(value) for value in change.fields().values())
    return (*values, change.version, False, change.embedding.content_hash if change.embedding else None)


def column_value(value: object) -> object:
    return to_json(value).decode() if isinstance(value, dict) else value


def outcome(change: EmbeddedChange, stored: int | None) -> Outcome:
    """`stored`: the version that was there and stayed; None where the change was written."""
    return Superseded(by=stored) if stored is not None and stored > change.version else Applied()


def settled(changes: Iterable[EmbeddedChange], answer: dict[Key, Outcome] | BaseException) -> dict[Key, Outcome]:
    """What one transaction's answer says of each of its changes; nothing if it was refused as a whole."""
    if isinstance(answer, dict):
        return answer
    if isinstance(answer, Unavailable):
        return {key(change): answer for change in changes}
    if isinstance(answer, BatchRejected):
        return {}
    raise answer


def shares(changes: Sequence[EmbeddedChange]) -> list[list[EmbeddedChange]]:
    """Cuts a batch into what each transaction writes: one kind, even parts, none of them tiny."""
    parts = []
    for kind in SOURCE_NAMES:
        alike = [change for change in changes if change.kind == kind]
        size = min(max(SMALLEST_SHARE, math.ceil(len(alike) / WRITERS)), LARGEST_SHARE)
        parts += [alike[start : start + size] for start in range(0, len(alike), size)]
    return parts


def key(change: EmbeddedChange) -> Key:
    return change.kind, change.id


def vector_fault(change: EmbeddedChange, model: str, dimension: int) -> Rejected | None:
    """Why a change's vector cannot be stored; checked first, because pgvector names no row."""
    embedding = change.embedding
    if embedding is None:
        return None
    if embedding.model != model:
        return Rejected("wrong_model", f"the vector is of {embedding.model}, the table of {model}", (STORE, "model"))
    vector = np.frombuffer(embedding.vector, "<f4")
    if len(vector) != dimension:
        detail = f"the vector has {len(vector)} dimensions, the table {dimension}"
        return Rejected("wrong_vector", detail, (STORE, "dimension"))
    if not np.isfinite(vector).all():
        return Rejected("wrong_vector", "the vector holds a number that is not finite", (STORE, "finite"))
    return None
