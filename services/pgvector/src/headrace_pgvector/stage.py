"""Changes into PostgreSQL, fenced by the version that each row holds."""

import asyncio
import math
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import NamedTuple, TypeVar

from headrace_clients.postgres import Connection, NewConnection, Pool, close_pool, transaction
from headrace_clients.postgres_errors import STORE, postgres_errors
from headrace_pgvector.entities import replace_entities
from headrace_pgvector.links import SETS, replace_sets
from headrace_pgvector.settings import PgvectorSettings
from headrace_pgvector.tables import Tables, tables_of
from headrace_pgvector.vectors import vector_pool
from headrace_schemas.embedded import EmbeddedChange
from headrace_schemas.fields import Kind, RecordKind
from headrace_schemas.links import ProductLinks
from headrace_worker.stage import Applied, BatchRejected, Outcome, Superseded, Unavailable
from headrace_worker.vectors import vector_fault

Written = EmbeddedChange | ProductLinks
Key = tuple[RecordKind, str]
W = TypeVar("W", bound=Written)

WRITERS = 4
"""Transactions at once: the HNSW index takes most of the time, and each backend fills it on a core of its own."""
SMALLEST_SHARE, LARGEST_SHARE = 64, 500
"""Rows of one transaction: so few that a slow server is done with them long before the time limit."""
CHECK_SECONDS = 5.0


class Share(NamedTuple):
    """What one transaction writes. `replace` gives the stored version of each change that was not newer."""

    changes: Sequence[Written]
    replace: Callable[[Connection], Awaitable[dict[str, int]]]


@asynccontextmanager
async def open_stage(settings: PgvectorSettings) -> AsyncIterator["PgvectorStage"]:
    """The stage with its connections; the server need not be up."""
    tables = tables_of(settings.model)

    async def create_incoming(connection: NewConnection) -> None:
        for fenced in (*(table.rows for table in tables.values()), SETS):
            await connection.execute(fenced.create_incoming)

    # One more than the writers use: health is asked for while all of them are busy.
    pool = await vector_pool(settings.postgres, WRITERS + 1, create_incoming)
    try:
        yield PgvectorStage(pool, tables, settings.postgres.timeout)
    finally:
        await close_pool(pool)


class PgvectorStage:
    """Keeps PostgreSQL equal to the newest version of each entity and link set."""

    def __init__(self, pool: Pool, tables: dict[Kind, Tables], timeout: float) -> None:
        self._pool = pool
        self._tables = tables
        self._timeout = timeout
        self._dimensions: dict[Kind, int] = {}
        self._writers = asyncio.Semaphore(WRITERS)

    async def apply(self, changes: Sequence[Written]) -> Sequence[Outcome]:
        outcomes = await self._vector_faults([change for change in changes if not isinstance(change, ProductLinks)])
        shares = list(self._shares([change for change in changes if key(change) not in outcomes]))
        answers = await asyncio.gather(*map(self._write, shares), return_exceptions=True)
        for share, answer in zip(shares, answers, strict=True):
            outcomes |= settled(share.changes, answer)
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

    async def _vector_faults(self, changes: Sequence[EmbeddedChange]) -> dict[Key, Outcome]:
        """The outcomes of those whose vector cannot be stored."""
        dimensions = await self._stored_dimensions()
        faults = {
            key(change): vector_fault(change, self._tables[change.kind].model, dimensions[change.kind], STORE)
            for change in changes
        }
        return {of: fault for of, fault in faults.items() if fault is not None}

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

    def _shares(self, changes: Sequence[Written]) -> Iterator[Share]:
        """Each of one kind: what is written together may not depend on another kind's errors."""
        for kind, tables in self._tables.items():
            alike = [change for change in changes if not isinstance(change, ProductLinks) and change.kind == kind]
            for part in even_parts(alike):
                yield Share(part, partial(replace_entities, tables=tables, changes=part))
        for sets in even_parts([change for change in changes if isinstance(change, ProductLinks)]):
            yield Share(sets, partial(replace_sets, sets=sets))

    async def _write(self, share: Share) -> dict[Key, Outcome]:
        """In one transaction. Raises Unavailable or BatchRejected."""
        with postgres_errors():
            async with self._writers, transaction(self._pool, self._timeout) as connection:
                stored = await share.replace(connection)
        return {key(change): outcome(change, stored.get(change.id)) for change in share.changes}


def even_parts(alike: Sequence[W]) -> list[Sequence[W]]:
    """Cuts changes into what each transaction writes: even parts, none of them tiny."""
    size = min(max(SMALLEST_SHARE, math.ceil(len(alike) / WRITERS)), LARGEST_SHARE)
    return [alike[start : start + size] for start in range(0, len(alike), size)]


def outcome(change: Written, stored: int | None) -> Outcome:
    """`stored`: the version that was there and stayed; None where the change was written."""
    return Superseded(by=stored) if stored is not None and stored > change.version else Applied()


def settled(changes: Iterable[Written], answer: dict[Key, Outcome] | BaseException) -> dict[Key, Outcome]:
    """What one transaction's answer says of each of its changes; nothing if it was refused as a whole."""
    if isinstance(answer, dict):
        return answer
    if isinstance(answer, Unavailable):
        return {key(change): answer for change in changes}
    if isinstance(answer, BatchRejected):
        return {}
    raise answer


def key(change: Written) -> Key:
    return change.kind, change.id
