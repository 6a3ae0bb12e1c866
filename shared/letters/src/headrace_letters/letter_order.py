"""Reads letters in the order of their failures, newest first, without reading the letters that are not chosen."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from headrace_clients.postgres import Connection
from headrace_letters.count_source import VISIBLE
from headrace_letters.failure_report import MAX_BIGINT
from headrace_letters.letter import EPOCH
from headrace_letters.selection import STATUS_TYPE, STATUSES, Selection, stored_statuses

IN_INDEX_ORDER = "SET LOCAL enable_sort = off"
"""The letters then come from an index that has their order. Without statistics, as after the first indexing, the
planner would sort all letters for each page.
"""
MAX_PARTS = 500
"""Above this number of causes and statuses, letters are read by status and compared one by one."""


class Place(NamedTuple):
    """Where a list of letters ends: the last one's time of failure and number."""

    failed_at: datetime
    number: int

    def __str__(self) -> str:
        return f"{(self.failed_at - EPOCH) // timedelta(microseconds=1)}.{self.number}"


def read_place(text: str) -> Place:
    """The place with this text. Raises ValueError if there is none."""
    microseconds, _, number = text.partition(".")
    try:
        if 0 < int(number) <= MAX_BIGINT:
            return Place(EPOCH + timedelta(microseconds=int(microseconds)), int(number))
    except (ValueError, OverflowError):
        pass
    raise ValueError("no page ends at this place")


async def newest(
    connection: Connection,
    selection: Selection,
    answered_by: datetime,
    *,
    limit: int,
    after: Place | None = None,
    columns: str = "*",
) -> list[Any]:
    """Up to `limit` rows of the selection, newest failure first, beginning after a place. In a transaction. `columns`:
    those of the rows, with `failed_at` and `number`.

    A selection that names single letters is found by them. For another one the kept totals tell which causes, workers
    and statuses it has: an index has the letters of each of these in order.
    """
    if selection.status == ():
        return []
    parameters: list[Any] = [answered_by]
    condition = selection.where(parameters)
    if after is not None:
        condition += f" AND (failed_at, number) < (${len(parameters) + 1}, ${len(parameters) + 2})"
        parameters += after
    order = f"ORDER BY failed_at DESC, number DESC LIMIT {limit}"
    source = f"SELECT {columns} FROM ({VISIBLE}) AS visible WHERE {condition}"  # noqa: S608
    parts = None
    if not selection.few:
        await connection.execute(IN_INDEX_ORDER)
        parts = await _parts(connection, selection)
    if parts is not None:
        first = len(parameters) + 1
        parameters += [list(column) for column in zip(*parts, strict=True)] or [[], [], []]
        source = f"""
            SELECT found.* FROM unnest(${first}::text[], ${first + 1}::text[], ${first + 2}::text[]::{STATUS_TYPE}[])
                AS part (fingerprint, worker, status)
            CROSS JOIN LATERAL (
                {source} AND visible.fingerprint = part.fingerprint AND visible.worker = part.worker
                    AND visible.status = part.status {order}
            ) AS found
        """  # noqa: S608
    elif selection.status is not None and not selection.few:
        by_status = [f"({source} AND status = '{status}' {order})" for status in stored_statuses(selection.status)]
        source = f"SELECT * FROM ({' UNION ALL '.join(by_status)}) AS found"  # noqa: S608
    return list(await connection.fetch(f"{source} {order}", *parameters))


async def _parts(connection: Connection, selection: Selection) -> Sequence[tuple[str, str, str]] | None:
    """The causes, workers and statuses of the selection's letters; None if it names no cause, or has too many."""
    causes = Selection(worker=selection.worker, reason=selection.reason, fingerprint=selection.fingerprint)
    if not causes.as_json():
        return None
    parameters: list[Any] = [stored_statuses(selection.status or STATUSES)]
    rows = await connection.fetch(
        f"""
        SELECT DISTINCT fingerprint, worker, status::text FROM dead_tallies
        WHERE letters <> 0 AND status = ANY($1::text[]::{STATUS_TYPE}[]) AND {causes.where(parameters)}
        LIMIT {MAX_PARTS + 1}
        """,  # noqa: S608
        *parameters,
    )
    return None if len(rows) > MAX_PARTS else [tuple(row) for row in rows]
