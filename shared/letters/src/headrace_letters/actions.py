"""Actions of operators on dead letters, and their audit."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

import asyncpg
from pydantic_core import from_json, to_json

from headrace_clients.postgres import Connection
from headrace_letters.merge_statements import DECIDED, LETTERS, LOCK, RECORD
from headrace_letters.selection import STATUS_TYPE, Selection, Status
from headrace_letters.storable_text import storable

ActionName = Literal["replay", "park", "discard", "export", "import", "forget"]
MAX_TEXT = 2000
"""Characters of an actor, a reason or an outcome."""

BEGIN = "INSERT INTO dead_actions (actor, name, selection, reason) VALUES ($1, $2, $3, $4) RETURNING number"
FINISH = "UPDATE dead_actions SET count = $2, outcome = $3, finished_at = now() WHERE number = $1"
NEWEST = """
    SELECT * FROM dead_actions
    WHERE ($1::bigint IS NULL OR number < $1)
        AND ($3::text IS NULL OR strpos(lower(actor), lower($3)) > 0) AND ($4::text IS NULL OR name = $4)
        AND ($5::timestamptz IS NULL OR at >= $5) AND ($6::timestamptz IS NULL OR at < $6)
    ORDER BY number DESC LIMIT $2
"""
ON_LETTER = """
    SELECT * FROM dead_actions
    WHERE number IN (SELECT action FROM dead_decisions WHERE dead_id = $1) ORDER BY number
"""

LOCK_WEAKER = f"""
    SELECT dead_id, attempts FROM {LETTERS}
    WHERE dead_id = ANY($1) AND (dead_id, attempts) IN (SELECT * FROM unnest($1::text[], $2::integer[]))
        AND (attempts, $3::text::{STATUS_TYPE}) > (status_attempt, status)
    ORDER BY dead_id FOR UPDATE
"""  # noqa: S608
"""$1: ids, $2: attempts, $3: a status. A letter that has failed again since has another attempt, and is left out."""
COUNTED = "UPDATE dead_actions SET count = $2 WHERE number = $1"


@dataclass(frozen=True, slots=True)
class Action:
    """An action of an operator: who, what, on which letters, and why."""

    actor: str
    name: ActionName
    selection: Selection
    reason: str = ""


@dataclass(frozen=True, slots=True)
class AuditFilter:
    """The actions that meet every given condition. `actor`: a part of the name. `since` (inclusive) and `until`
    (exclusive) compare the time of the start.
    """

    actor: str | None = None
    name: ActionName | None = None
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class AuditRow:
    """A recorded action. `outcome` and `finished_at` are None while it runs, and if its process was killed; `count` is
    then the number of letters that it has changed so far.
    """

    number: int
    at: datetime
    actor: str
    name: str
    selection: Mapping[str, object]
    reason: str
    count: int
    outcome: str | None
    finished_at: datetime | None


async def begin(connection: Connection, action: Action) -> int:
    """Records the start of an action; returns its number."""
    selection = to_json(action.selection.as_json()).decode()
    actor, name, reason = (storable(text, MAX_TEXT) for text in (action.actor, action.name, action.reason))
    number: int = await connection.fetchval(BEGIN, actor, name, selection, reason)
    return number


async def finish(connection: Connection, number: int, count: int, outcome: str) -> None:
    """Records the end of an action: the number of letters and the outcome in one line."""
    await connection.execute(FINISH, number, count, storable(outcome, MAX_TEXT))


async def counted(connection: Connection, number: int, count: int) -> None:
    """Records how many letters an action has changed so far, for the case that its process is killed."""
    await connection.execute(COUNTED, number, count)


async def decide(
    connection: Connection, action: int, letters: Sequence[tuple[str, int]], status: Status, by: int | None = None
) -> None:
    """Records a decision about letters, each as (id, attempt), and merges it into the index. In a transaction."""
    ids, attempts = [id for id, _ in letters], [attempt for _, attempt in letters]
    await connection.execute(RECORD, action, ids, attempts, status, by)
    await connection.execute(LOCK, ids)
    await connection.execute(DECIDED, action, ids)


async def decide_weaker(
    connection: Connection, action: int, letters: Sequence[tuple[str, int]], status: Status, by: int | None = None
) -> int:
    """Gives this status to those of the letters that have a weaker one and have not failed again.

    `letters`: each as (id, attempt). Returns how many changed. In a transaction.
    """
    ids, attempts = [id for id, _ in letters], [attempt for _, attempt in letters]
    rows = await connection.fetch(LOCK_WEAKER, ids, attempts, status)
    await decide(connection, action, [(row["dead_id"], row["attempts"]) for row in rows], status, by)
    return len(rows)


async def newest(connection: Connection, limit: int, before: int | None, chosen: AuditFilter) -> list[AuditRow]:
    """The newest actions first; `before`: only actions with a lower number."""
    return [_audit_row(row) for row in await connection.fetch(NEWEST, before, limit, *_conditions(chosen))]


async def on_letter(connection: Connection, dead_id: str) -> list[AuditRow]:
    """The actions that changed this letter, oldest first."""
    return [_audit_row(row) for row in await connection.fetch(ON_LETTER, dead_id)]


def _audit_row(row: asyncpg.Record) -> AuditRow:
    return AuditRow(**{**row, "selection": from_json(row["selection"])})


def _conditions(chosen: AuditFilter) -> tuple[object, ...]:
    actor = None if chosen.actor is None else storable(chosen.actor, MAX_TEXT)
    return actor, chosen.name, chosen.since, chosen.until
