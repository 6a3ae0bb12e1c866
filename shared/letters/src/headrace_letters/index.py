"""The index of dead letters in PostgreSQL. The topics are the source of truth; the index can be rebuilt from them."""

from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any

from aiokafka import TopicPartition

from headrace_clients.postgres import Connection, Pool, close_pool, new_pool, transaction
from headrace_clients.postgres_errors import postgres_errors
from headrace_clients.postgres_migrations import migrate
from headrace_clients.settings import PostgresSettings
from headrace_letters import actions
from headrace_letters.actions import Action, ActionName, AuditFilter, AuditRow
from headrace_letters.bulk_decisions import STATUS_OF, DecidedStatus, Part, Touched, decide_part, part_after
from headrace_letters.count_source import VISIBLE, count_source
from headrace_letters.groups import Group, groups_of
from headrace_letters.index_settings import IndexSettings
from headrace_letters.letter import Letter, letter_id
from headrace_letters.letter_order import Place
from headrace_letters.letter_pages import Page, page_of
from headrace_letters.letter_rows import IndexedLetter, indexed_letter, letter_row, without_repeated_ids
from headrace_letters.letter_walk import last_positions, remove_before, rows_between
from headrace_letters.merge_statements import (
    COUNT_DECISIONS,
    CREATE_INCOMING,
    DECIDED_EVER,
    INCOMING,
    INCOMING_COLUMNS,
    LETTERS,
    LOCK_DECIDED,
    PUT_ANSWERS,
    PUT_LETTERS,
)
from headrace_letters.reason_counts import Alike, reason_counts
from headrace_letters.replay_answers import ReplayAnswer
from headrace_letters.selection import EVERYTHING, RANKS, Selection, Status
from headrace_letters.twins import twins_of
from headrace_runtime.decoder import Position
from headrace_schemas.receipts import ReceiptOutcome
from headrace_worker.stage import Unavailable

REPLAYING_FOR = timedelta(minutes=10)
MAX_GROUPS = 500
SESSION = {"jit": "off", "plan_cache_mode": "force_custom_plan"}
"""Compiling one of these queries takes longer than running it, and no single plan fits all selections."""

_STATUS_AFTER: Mapping[ReceiptOutcome, Status] = {
    "applied": "resolved",
    "ignored": "resolved",
    "superseded": "superseded",
    "conflict": "superseded",
}
"""The status of a letter after this receipt. A failed replay shows up as a new letter."""

EVERY_ACTION = AuditFilter()


@asynccontextmanager
async def open_index(settings: IndexSettings) -> AsyncIterator["LetterIndex"]:
    """The index, closed on exit."""
    index = LetterIndex(
        settings.postgres, settings.names.schema, replaying_for=timedelta(seconds=settings.dead.replaying_for)
    )
    try:
        yield index
    finally:
        await index.close()


class LetterIndex:
    """Each method raises Unavailable if PostgreSQL does not answer or `headrace stores apply` has not been run.

    The constructor does not connect.
    """

    def __init__(
        self,
        settings: PostgresSettings,
        schema: str,
        *,
        replaying_for: timedelta = REPLAYING_FOR,
        connections: int = 4,
    ) -> None:
        self._settings = settings
        self._schema = schema
        self._replaying_for = replaying_for
        self._connections = connections

    async def prepare(self) -> list[str]:
        """Creates or migrates the tables; safe to repeat, also at the same time. One line for each change."""
        return await migrate(self._settings, self._schema, "dead_letters", "headrace_letters")

    async def refresh(self) -> None:
        """Does nothing: a committed row is visible at once."""

    async def check(self) -> None:
        """Raises Unavailable unless the tables answer."""
        async with self._transaction() as connection:
            await connection.execute(f"SELECT FROM {LETTERS} LIMIT 1")

    async def close(self) -> None:
        """Closes the connections."""
        await close_pool(self._pool)

    async def put_letters(self, letters: Sequence[Letter]) -> None:
        """Merges letters into the index; order and repetition do not matter. If it raises, some may be written."""
        for each_id_once in without_repeated_ids(letters):
            rows = [letter_row(letter) for letter in each_id_once]
            async with self._transaction() as connection:
                await connection.execute(CREATE_INCOMING)
                await connection.copy_records_to_table(INCOMING, records=rows, columns=INCOMING_COLUMNS)
                await connection.execute(PUT_LETTERS)

    async def put_answers(self, answers: Sequence[ReplayAnswer]) -> None:
        """Merges the receipts of replays into the index, also for letters that it does not have yet."""
        final = [
            (answer.attempt, _STATUS_AFTER[answer.outcome], answer.dead_id)
            for answer in answers
            if answer.outcome in _STATUS_AFTER
        ]
        newest = {
            letter_id(dead_id.encode(errors="replace")): (attempt, status)
            for attempt, status, dead_id in sorted(final, key=lambda one: (one[0], RANKS[one[1]]))
        }
        if newest:
            attempts, statuses = zip(*newest.values(), strict=True)
            async with self._transaction() as connection:
                await connection.execute(PUT_ANSWERS, list(newest), list(attempts), list(statuses))

    async def decide_again(self) -> int:
        """Merges all decisions that operators ever made into the existing letters. Returns the number of decisions."""
        for statement in DECIDED_EVER:
            async with self._transaction() as connection:
                await connection.execute(LOCK_DECIDED)
                await connection.execute(statement)
        async with self._transaction() as connection:
            count: int = await connection.fetchval(COUNT_DECISIONS)
            return count

    async def groups(
        self,
        selection: Selection = EVERYTHING,
        *,
        window: timedelta = timedelta(hours=24),
        steps: int = 24,
        limit: int = MAX_GROUPS,
    ) -> list[Group]:
        """The selection by cause: the `limit` largest groups, the largest first."""
        now = datetime.now(UTC)
        async with self._transaction() as connection:
            return await groups_of(
                connection, selection, self._answered_by(), now=now, window=window, steps=steps, limit=limit
            )

    async def count(self, selection: Selection) -> dict[Status, int]:
        """The number of letters of each status; a status without letters is missing."""
        parameters: list[Any] = [self._answered_by()]
        condition = selection.where(parameters)
        async with self._transaction() as connection:
            rows = await connection.fetch(
                f"""
                SELECT status_now, sum(letters)::bigint AS count FROM ({count_source(selection)}) AS counted
                WHERE {condition} GROUP BY 1 HAVING sum(letters) > 0
                """,  # noqa: S608
                *parameters,
            )
            return {row["status_now"]: row["count"] for row in rows}

    async def reason_counts(self) -> dict[Alike, int]:
        """The number of letters by worker, reason and status."""
        async with self._transaction() as connection:
            return await reason_counts(connection, self._answered_by())

    async def page(self, selection: Selection, *, limit: int = 50, after: str | None = None) -> Page:
        """Letters, newest failure first. Raises ValueError for an `after` that no page returned."""
        async with self._transaction() as connection:
            return await page_of(connection, selection, self._answered_by(), limit=limit, after=after)

    async def get(self, ids: Sequence[str]) -> dict[str, IndexedLetter]:
        """By id; an unknown id is missing from the answer."""
        parameters: list[Any] = [self._answered_by()]
        condition = Selection(ids=tuple(ids)).where(parameters)
        async with self._transaction() as connection:
            rows = await connection.fetch(f"SELECT * FROM ({VISIBLE}) AS v WHERE {condition}", *parameters)  # noqa: S608
        return {row["dead_id"]: indexed_letter(row) for row in rows}

    async def walk(self, selection: Selection, *, size: int = 500) -> AsyncIterator[list[IndexedLetter]]:
        """The whole selection in the order of the topics (topic, partition, offset), in lists of up to `size`.

        It ends at the letters that the index has when it begins: a letter that fails again meanwhile does not occur
        twice. No transaction stays open between two lists, so that a walk may take hours.
        """
        async with self._transaction() as connection:
            positions = await last_positions(connection)
        for topic, partition, last in positions:
            after = Position(topic, partition, -1)
            while True:
                async with self._transaction() as connection:
                    rows = await rows_between(
                        connection, selection, self._answered_by(), after=after, last=last, size=size
                    )
                if not rows:
                    break
                yield [indexed_letter(row) for row in rows]
                after = Position(topic, partition, rows[-1]["dead_offset"])

    async def partitions(self) -> list[TopicPartition]:
        """The partitions that contain the letters of the index."""
        async with self._transaction() as connection:
            return [TopicPartition(at.topic, at.partition) for at in await last_positions(connection)]

    async def remove_before(self, first: Position) -> int:
        """Removes some of the letters before the first record of a partition. Returns how many; 0 at the end."""
        async with self._transaction() as connection:
            return await remove_before(connection, first)

    async def begin(self, action: Action) -> int:
        """Records the start of an action; returns its number."""
        async with self._transaction() as connection:
            return await actions.begin(connection, action)

    async def finish(self, number: int, count: int, outcome: str) -> None:
        """Records the end of an action: the number of letters and the outcome in one line."""
        async with self._transaction() as connection:
            await actions.finish(connection, number, count, outcome)

    async def mark_replaying(self, action: int, letters: Sequence[Letter]) -> None:
        """Records that the broker has acknowledged replays of these attempts of these letters, each letter once."""
        async with self._transaction() as connection:
            chosen = [(letter.id, letter.attempts) for letter in letters]
            await actions.decide(connection, action, chosen, "replaying")

    async def mark_superseded(self, action: int, letter: Letter, by: int) -> None:
        """Records that an edited record of version `by` was published in place of the letter and its twins."""
        async with self._transaction() as connection:
            twins = await twins_of(connection, [letter.id], "superseded")
            await actions.decide(connection, action, [(letter.id, letter.attempts)], "superseded", by)
            await actions.decide_weaker(connection, action, [(one.id, one.attempts) for one in twins], "superseded", by)

    async def touched(self, action: ActionName, selection: Selection) -> AsyncIterator[Touched]:
        """What parking or discarding the selection would change. Yields the same object again after each part."""
        touched, after = Touched(), None
        yield touched
        while part := await self._part(selection, STATUS_OF[action], after):
            touched.add(part)
            after = part.last
            yield touched

    async def set_aside(self, action: Action, touched: Touched) -> AsyncGenerator[int, None]:
        """Parks or discards exactly the letters that were counted, and records it. A letter that has failed again since
        the count, or has got a stronger status, stays as it is.

        Yields the number of changed letters after each part, which is one transaction. A call that is closed or killed
        has changed these, and a new count and call take the rest.
        """
        number, done = await self.begin(action), 0
        status = STATUS_OF[action.name]
        try:
            for part in touched.parts:
                async with self._transaction() as connection:
                    done = await decide_part(connection, number, part, status, done)
                yield done
        except BaseException as error:
            with suppress(Unavailable):
                await self.finish(number, done, f"ended by {type(error).__name__}")
            raise
        await self.finish(number, done, status)

    async def _part(self, selection: Selection, status: DecidedStatus, after: Place | None) -> Part | None:
        async with self._transaction() as connection:
            return await part_after(connection, selection, status, self._answered_by(), after)

    async def audit(
        self, *, limit: int = 50, before: int | None = None, chosen: AuditFilter = EVERY_ACTION
    ) -> list[AuditRow]:
        """The newest actions of the filter first; `before`: only actions with a lower number."""
        async with self._transaction() as connection:
            return await actions.newest(connection, limit, before, chosen)

    async def actions_on(self, dead_id: str) -> list[AuditRow]:
        """The actions that changed this letter, oldest first."""
        async with self._transaction() as connection:
            return await actions.on_letter(connection, dead_id)

    @cached_property
    def _pool(self) -> Pool:
        """Created on first use, because a pool belongs to the event loop that is running then."""
        return new_pool(self._settings, self._schema, self._connections, session=SESSION)

    def _answered_by(self) -> datetime:
        return datetime.now(UTC) - self._replaying_for

    @asynccontextmanager
    async def _transaction(self) -> AsyncIterator[Connection]:
        with postgres_errors("transaction"):
            await self._pool
            async with transaction(self._pool, self._settings.timeout) as connection:
                yield connection
