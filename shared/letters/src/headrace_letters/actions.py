"""What operators do to dead letters, and its record."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

import asyncpg
from pydantic_core import from_json, to_json

from headrace_clients.postgres import SCHEMA, Connection
from headrace_letters.merge_statements import DECIDED, LOCK, RECORD
from headrace_letters.selection import STATUS_TYPE, Selection, Status
from headrace_letters.storable_text import storable

ActionName = Literal["replay", "park", "discard", "export", "import"]
LONGEST = 2000
"""Characters of what an operator says, and of an outcome."""

BEGIN = f"INSERT INTO {SCHEMA}.dead_actions (actor, name, selection, reason) VALUES ($1, $2, $3, $4) RETURNING number"  # noqa: S608
FINISH = f"UPDATE {SCHEMA}.dead_actions SET count = $2, outcome = $3, finished_at = now() WHERE number = $1"  # noqa: S608
NEWEST = f"SELECT * FROM {SCHEMA}.dead_actions WHERE $1::bigint IS NULL OR number < $1 ORDER BY number DESC LIMIT $2"  # noqa: S608
ON_LETTER = f"""
    SELECT * FROM {SCHEMA}.dead_actions
    WHERE number IN (SELECT action FROM {SCHEMA}.dead_decisions WHERE dead_id = $1) ORDER BY number
"""  # noqa: S608


@dataclass(frozen=True, slots=True)
class Action:
    """What an operator does: who, what, to which letters, why."""

    actor: str
    name: ActionName
    selection: Selection
    reason: str = ""


@dataclass(frozen=True, slots=True)
class AuditRow:
    """An action as it is recorded. `outcome` and `finished_at` are None while it runs, and if it was killed."""

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
    """Records that an action begins; its number."""
    selection = to_json(action.selection.as_json()).decode()
    said = [storable(text, LONGEST) for text in (action.actor, action.name, action.reason)]
    number: int = await connection.fetchval(BEGIN, said[0], said[1], selection, said[2])
    return number


async def finish(connection: Connection, number: int, count: int, outcome: str) -> None:
    """Records how an action ended."""
    await connection.execute(FINISH, number, count, storable(outcome, LONGEST))


async def decide(
    connection: Connection, action: int, letters: Sequence[tuple[str, int]], status: Status, by: int | None = None
) -> None:
    """Records a decision about letters, (id, attempt) each, and folds it into the index. In a transaction."""
    ids, attempts = [id for id, _ in letters], [attempt for _, attempt in letters]
    await connection.execute(RECORD, action, ids, attempts, status, by)
    await connection.execute(LOCK, ids)
    await connection.execute(DECIDED, action, ids)


async def set_aside(
    connection: Connection, action: Action, status: Literal["parked", "discarded"], visible: str, parameters: list[Any]
) -> int:
    """Gives the whole selection this status, but for letters that have one as strong; how many changed.

    `visible`: a query of the letters with their `status_now`, with `parameters`. In a transaction.
    """
    number = await begin(connection, action)
    condition = action.selection.where(parameters)
    new = f"'{status}'::{STATUS_TYPE}"
    rows = await connection.fetch(
        f"""
        SELECT dead_id, attempts FROM ({visible}) AS visible
        WHERE {condition} AND (attempts, {new}) > (status_attempt, status) ORDER BY dead_id FOR UPDATE
        """,  # noqa: S608
        *parameters,
    )
    await decide(connection, number, [(row["dead_id"], row["attempts"]) for row in rows], status)
    await finish(connection, number, len(rows), status)
    return len(rows)


def audit_row(row: asyncpg.Record) -> AuditRow:
    """A row of `dead_actions`."""
    return AuditRow(**{**row, "selection": from_json(row["selection"])})
