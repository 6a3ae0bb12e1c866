"""The numbers of letters by worker, reason and status."""

from datetime import datetime
from typing import NamedTuple

from headrace_clients.postgres import Connection
from headrace_letters.count_source import count_source
from headrace_letters.selection import EVERYTHING, Status


class Alike(NamedTuple):
    """What letters of one number have in common. `worker`, `reason`: as their records have them."""

    worker: str
    reason: str
    status: Status


async def reason_counts(connection: Connection, answered_by: datetime) -> dict[Alike, int]:
    """From the kept totals, which do not grow with the number of letters."""
    rows = await connection.fetch(
        f"""
        SELECT worker, reason, status_now, sum(letters)::bigint AS count FROM ({count_source(EVERYTHING)}) AS counted
        GROUP BY 1, 2, 3 HAVING sum(letters) > 0
        """,  # noqa: S608
        answered_by,
    )
    return {Alike(row["worker"], row["reason"], row["status_now"]): row["count"] for row in rows}
