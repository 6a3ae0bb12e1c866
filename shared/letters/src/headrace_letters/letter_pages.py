"""Pages of letters, newest failure first, for people who look through them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from headrace_clients.postgres import Connection
from headrace_letters.count_source import VISIBLE
from headrace_letters.failure_report import MAX_BIGINT
from headrace_letters.letter import EPOCH
from headrace_letters.letter_rows import IndexedLetter, indexed_letter
from headrace_letters.selection import STATUSES, Selection, stored_statuses

IN_INDEX_ORDER = "SET LOCAL enable_sort = off"
"""The pages then come from an index that has their order. Without statistics, as after the first indexing, the planner
would sort all letters for each page.
"""


@dataclass(frozen=True, slots=True)
class Page:
    """Letters, newest failure first. `next`: the `after` of the next page; None on the last page."""

    letters: Sequence[IndexedLetter]
    next: str | None


async def page_of(
    connection: Connection, selection: Selection, answered_by: datetime, *, limit: int, after: str | None
) -> Page:
    """Up to `limit` letters. In a transaction. Raises ValueError for an `after` that no page returned."""
    parameters: list[Any] = [answered_by]
    condition = selection.where(parameters)
    if after is not None:
        condition += f" AND (failed_at, number) < (${len(parameters) + 1}, ${len(parameters) + 2})"
        parameters += _read_cursor(after)
    order = f"ORDER BY failed_at DESC, number DESC LIMIT {limit + 1}"
    # An index has the letters of one status in this order: take the newest of each status, and of those the newest.
    parts = [
        f"(SELECT * FROM ({VISIBLE}) AS visible WHERE {condition}{one_status} {order})"  # noqa: S608
        for one_status in _conditions_by_status(selection)
    ]
    if not selection.few:
        await connection.execute(IN_INDEX_ORDER)
    rows = await connection.fetch(
        f"SELECT * FROM ({' UNION ALL '.join(parts)}) AS newest {order}",  # noqa: S608
        *parameters,
    )
    cursor = _cursor(rows[limit - 1]["failed_at"], rows[limit - 1]["number"]) if len(rows) > limit else None
    return Page([indexed_letter(row) for row in rows[:limit]], cursor)


def _conditions_by_status(selection: Selection) -> list[str]:
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
    raise ValueError("no page ends at this place")
