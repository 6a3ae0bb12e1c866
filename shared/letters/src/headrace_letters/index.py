"""The index of dead letters in PostgreSQL. The topics stay the truth: it can be made again from them."""

from collections import defaultdict
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any

from headrace_clients.postgres import Connection, Pool, checked_dsn, close_pool, new_pool, transaction
from headrace_clients.postgres_errors import postgres_errors
from headrace_clients.postgres_migrations import migrate
from headrace_clients.settings import PostgresSettings
from headrace_letters import actions
from headrace_letters.actions import Action, AuditRow, audit_row, decide, set_aside
from headrace_letters.count_source import VISIBLE, counted
from headrace_letters.failure_report import MAX_BIGINT
from headrace_letters.groups import Group, groups_of
from headrace_letters.letter import EPOCH, Letter, letter_id
from headrace_letters.letter_rows import IndexedLetter, indexed_letter, letter_row
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
from headrace_letters.replay_answers import ReplayAnswer
from headrace_letters.selection import EVERYTHING, RANKS, STATUSES, Selection, Status, stored_statuses
from headrace_runtime.decoder import Position
from headrace_schemas.receipts import ReceiptOutcome

REPLAYING_FOR = timedelta(minutes=10)
MOST_GROUPS = 500
SESSION = {"jit": "off", "plan_cache_mode": "force_custom_plan"}
"""Compiling a query takes longer than any of these runs, and one plan for all selections would fit none."""
IN_INDEX_ORDER = "SET LOCAL enable_sort = off"
"""A page is read from the index that has it in order. Without statistics, as after the first indexing, the planner
would sort all letters for each page instead.
"""
ENDS = f"""
    SELECT dead_topic, dead_partition, max(dead_offset) AS last FROM {LETTERS} WHERE dead_topic IS NOT NULL
    GROUP BY dead_topic, dead_partition ORDER BY dead_topic, dead_partition
"""  # noqa: S608

_ENDS: Mapping[ReceiptOutcome, Status] = {"applied": "resolved", "ignored": "resolved", "superseded": "superseded"}
"""What a receipt says of a letter. Of a replay that failed again its new letter tells."""


@dataclass(frozen=True, slots=True)
class Page:
    """Letters, newest failure first. `next`: give it to `page` as `after`; None on the last page."""

    letters: Sequence[IndexedLetter]
    next: str | None


class LetterIndex:
    """Every method raises Unavailable when PostgreSQL does not answer, or `headrace stores apply` has not been run.

    Making one connects to nothing. Raises ValueError if the DSN cannot be read.
    """

    def __init__(
        self, settings: PostgresSettings, *, replaying_for: timedelta = REPLAYING_FOR, connections: int = 4
    ) -> None:
        checked_dsn(settings)
        self._settings = settings
        self._replaying_for = replaying_for
        self._connections = connections

    @cached_property
    def _pool(self) -> Pool:
        """Made when it is first wanted: a pool belongs to the event loop that runs when it is made."""
        return new_pool(self._settings, self._connections, session=SESSION)

    async def prepare(self) -> list[str]:
        """Creates or migrates the tables; safe to repeat, also twice at once. One line for each thing made."""
        return await migrate(self._settings, "dead_letters", "headrace_letters")

    async def refresh(self) -> None:
        """Nothing to do: a committed row is visible."""

    async def check(self) -> None:
        """Raises Unavailable unless the tables answer."""
        async with self._transaction() as connection:
            await connection.execute(f"SELECT FROM {LETTERS} LIMIT 1")

    async def close(self) -> None:
        """Closes the connections."""
        await close_pool(self._pool)

    async def put_letters(self, letters: Sequence[Letter]) -> None:
        """Folds letters into the index, in any order and as often as wanted. If it raises, some may be in."""
        for each_id_once in _rounds(letters):
            rows = [letter_row(letter) for letter in each_id_once]
            async with self._transaction() as connection:
                await connection.execute(CREATE_INCOMING)
                await connection.copy_records_to_table(INCOMING, records=rows, columns=INCOMING_COLUMNS)
                await connection.execute(PUT_LETTERS)

    async def put_answers(self, answers: Sequence[ReplayAnswer]) -> None:
        """Folds what receipts say of replays into the index, also of letters that it has not seen yet."""
        ends = [
            (answer.attempt, _ENDS[answer.outcome], answer.dead_id) for answer in answers if answer.outcome in _ENDS
        ]
        newest = {
            letter_id(dead_id.encode(errors="replace")): (attempt, status)
            for attempt, status, dead_id in sorted(ends, key=lambda end: (end[0], RANKS[end[1]]))
        }
        if newest:
            attempts, statuses = zip(*newest.values(), strict=True)
            async with self._transaction() as connection:
                await connection.execute(PUT_ANSWERS, list(newest), list(attempts), list(statuses))

    async def decide_again(self) -> int:
        """Folds all that operators have ever decided into the letters that are there; how many decisions there are."""
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
        most: int = MOST_GROUPS,
    ) -> list[Group]:
        """The selection by cause: the `most` largest groups, the largest first."""
        now = datetime.now(UTC)
        async with self._transaction() as connection:
            return await groups_of(
                connection, selection, self._answered_by(), now=now, window=window, steps=steps, most=most
            )

    async def count(self, selection: Selection) -> dict[Status, int]:
        """How many letters there are of each status; those with none are left out."""
        parameters: list[Any] = [self._answered_by()]
        condition = selection.where(parameters)
        async with self._transaction() as connection:
            rows = await connection.fetch(
                f"""
                SELECT status_now, sum(letters)::bigint AS count FROM ({counted(selection)}) AS counted
                WHERE {condition} GROUP BY 1 HAVING sum(letters) > 0
                """,  # noqa: S608
                *parameters,
            )
            return {row["status_now"]: row["count"] for row in rows}

    async def page(self, selection: Selection, *, limit: int = 50, after: str | None = None) -> Page:
        """Raises ValueError for an `after` that no page has given."""
        parameters: list[Any] = [self._answered_by()]
        condition = selection.where(parameters)
        if after is not None:
            condition += f" AND (failed_at, number) < (${len(parameters) + 1}, ${len(parameters) + 2})"
            parameters += _read_cursor(after)
        order = f"ORDER BY failed_at DESC, number DESC LIMIT {limit + 1}"
        # Within one status an index has the letters in order: each gives its newest, and of these the newest are taken.
        parts = [
            f"(SELECT * FROM ({VISIBLE}) AS visible WHERE {condition}{one_status} {order})"  # noqa: S608
            for one_status in _statuses_apart(selection)
        ]
        async with self._transaction() as connection:
            if not selection.few:
                await connection.execute(IN_INDEX_ORDER)
            rows = await connection.fetch(
                f"SELECT * FROM ({' UNION ALL '.join(parts)}) AS newest {order}",  # noqa: S608
                *parameters,
            )
        cursor = _cursor(rows[limit - 1]["failed_at"], rows[limit - 1]["number"]) if len(rows) > limit else None
        return Page([indexed_letter(row) for row in rows[:limit]], cursor)

    async def get(self, ids: Sequence[str]) -> dict[str, IndexedLetter]:
        """By id; an unknown one is missing from the answer."""
        parameters: list[Any] = [self._answered_by()]
        condition = Selection(ids=tuple(ids)).where(parameters)
        async with self._transaction() as connection:
            rows = await connection.fetch(f"SELECT * FROM ({VISIBLE}) AS v WHERE {condition}", *parameters)  # noqa: S608
        return {row["dead_id"]: indexed_letter(row) for row in rows}

    async def walk(self, selection: Selection, *, size: int = 500) -> AsyncIterator[list[IndexedLetter]]:
        """The whole selection in the order of the topics (topic, partition, offset), lists of up to `size`.

        Ends at what is in the index when it begins: a letter that fails again meanwhile does not come a second time.
        No transaction stays open between two lists, so that a walk may last for hours.
        """
        async with self._transaction() as connection:
            ends = await connection.fetch(ENDS)
        for topic, partition, last in ends:
            offset = -1
            while rows := await self._walked(selection, size, Position(topic, partition, offset), last):
                yield [indexed_letter(row) for row in rows]
                offset = rows[-1]["dead_offset"]

    async def _walked(self, selection: Selection, size: int, after: Position, last: int) -> list[Any]:
        parameters: list[Any] = [self._answered_by(), *after, last]
        condition = selection.where(parameters)
        async with self._transaction() as connection:
            if not selection.few:
                await connection.execute(IN_INDEX_ORDER)
            rows: list[Any] = await connection.fetch(
                f"""
                SELECT * FROM ({VISIBLE}) AS visible
                WHERE dead_topic = $2 AND dead_partition = $3 AND dead_offset > $4 AND dead_offset <= $5 AND {condition}
                ORDER BY dead_offset LIMIT {size}
                """,  # noqa: S608
                *parameters,
            )
            return rows

    async def begin(self, action: Action) -> int:
        """Records that an action begins; its number."""
        async with self._transaction() as connection:
            return await actions.begin(connection, action)

    async def finish(self, number: int, count: int, outcome: str) -> None:
        """Records how an action ended: over how many letters, and in one line with what."""
        async with self._transaction() as connection:
            await actions.finish(connection, number, count, outcome)

    async def mark_replaying(self, action: int, letters: Sequence[Letter]) -> None:
        """The broker has acknowledged replays of these attempts of these letters, each letter once."""
        async with self._transaction() as connection:
            await decide(connection, action, [(letter.id, letter.attempts) for letter in letters], "replaying")

    async def mark_superseded(self, action: int, letter: Letter, by: int) -> None:
        """An edited record of this version has been published in the letter's place."""
        async with self._transaction() as connection:
            await decide(connection, action, [(letter.id, letter.attempts)], "superseded", by)

    async def park(self, action: Action) -> int:
        """Sets the selection aside; how many letters changed. In one transaction with its record."""
        async with self._transaction() as connection:
            return await set_aside(connection, action, "parked", VISIBLE, [self._answered_by()])

    async def discard(self, action: Action) -> int:
        """Gives the selection up; how many letters changed. In one transaction with its record."""
        async with self._transaction() as connection:
            return await set_aside(connection, action, "discarded", VISIBLE, [self._answered_by()])

    async def audit(self, *, limit: int = 50, before: int | None = None) -> list[AuditRow]:
        """The newest actions first; `before`: only those with a lower number."""
        async with self._transaction() as connection:
            return [audit_row(row) for row in await connection.fetch(actions.NEWEST, before, limit)]

    async def actions_on(self, dead_id: str) -> list[AuditRow]:
        """The actions that changed this letter, oldest first."""
        async with self._transaction() as connection:
            return [audit_row(row) for row in await connection.fetch(actions.ON_LETTER, dead_id)]

    def _answered_by(self) -> datetime:
        return datetime.now(UTC) - self._replaying_for

    @asynccontextmanager
    async def _transaction(self) -> AsyncIterator[Connection]:
        with postgres_errors():
            await self._pool
            async with transaction(self._pool, self._settings.timeout) as connection:
                yield connection


def _rounds(letters: Sequence[Letter]) -> Iterator[list[Letter]]:
    """The letters in lists that hold no id twice."""
    places: defaultdict[str, int] = defaultdict(int)
    rounds: defaultdict[int, list[Letter]] = defaultdict(list)
    for letter in letters:
        rounds[places[letter.id]].append(letter)
        places[letter.id] += 1
    yield from rounds.values()


def _statuses_apart(selection: Selection) -> list[str]:
    if selection.status is None and selection.fingerprint is None:
        return [""]
    return [f" AND status = '{status}'" for status in stored_statuses(selection.status or STATUSES)]


def _cursor(failed_at: datetime, number: int) -> str:
    return f"{(failed_at - EPOCH) // timedelta(microseconds=1)}.{number}"


def _read_cursor(cursor: str) -> tuple[datetime, int]:
    microseconds, _, number = cursor.partition(".")
    try:
        if 0 < int(number) <= MAX_BIGINT:
            return EPOCH + timedelta(microseconds=int(microseconds)), int(number)
    except (ValueError, OverflowError):
        pass
    raise ValueError("this is no place where a page ends")
