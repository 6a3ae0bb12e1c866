"""Dead letters grouped by cause."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import asyncpg

from headrace_clients.postgres import Connection
from headrace_letters.count_source import count_source
from headrace_letters.merge_statements import LETTERS
from headrace_letters.record_counts import Cause, repeated_records
from headrace_letters.selection import Selection, Status

ONE_SNAPSHOT = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"
"""Letters and source records are counted by two statements."""
SAMPLES = f"""
    SELECT wanted.place, sample.dead_id, sample.error
    FROM unnest($1::text[], $2::text[], $3::timestamptz[]) WITH ORDINALITY
        AS wanted (fingerprint, reason, failed_at, place)
    CROSS JOIN LATERAL (
        SELECT dead_id, error FROM {LETTERS} AS letter
        WHERE letter.failed_at = wanted.failed_at AND letter.fingerprint = wanted.fingerprint
            AND letter.reason = wanted.reason AND letter.dead_topic IS NOT NULL
        LIMIT 1
    ) AS sample
    ORDER BY place
"""  # noqa: S608


@dataclass(frozen=True, slots=True)
class Group:
    """The letters of one cause. `workers`: letters by worker, most first, then by name. `records`: source records, each
    of which has a letter of every worker that rejected it. `counts`: letters by status; a status without letters is
    missing.
    `series`: the number of newest failures in equal steps of time; the last step ends now.
    """

    fingerprint: str
    reason: str
    workers: Mapping[str, int]
    records: int
    counts: Mapping[Status, int]
    first_seen: datetime
    last_seen: datetime
    sample_id: str
    sample_error: str
    series: tuple[int, ...]

    @property
    def worker(self) -> str:
        """The worker with the most letters."""
        return next(iter(self.workers))

    @property
    def total(self) -> int:
        """The number of letters."""
        return sum(self.counts.values())


class _Total:
    """The numbers of one group while its rows are read."""

    def __init__(self, steps: int) -> None:
        self.workers: Counter[str] = Counter()
        self.counts: Counter[Status] = Counter()
        self.series = [0] * steps
        self.first_seen: list[datetime] = []
        self.last_seen: list[datetime] = []

    def add(self, row: asyncpg.Record, age: int) -> None:
        """`age`: the number of steps between the row and the last step."""
        self.workers[row["worker"]] += row["count"]
        self.counts[row["status_now"]] += row["count"]
        self.first_seen.append(row["first_seen"])
        self.last_seen.append(row["last_seen"])
        if age < len(self.series):
            self.series[-1 - max(0, age)] += row["count"]


async def groups_of(
    connection: Connection,
    selection: Selection,
    answered_by: datetime,
    *,
    now: datetime,
    window: timedelta,
    steps: int,
    limit: int,
) -> list[Group]:
    """The `limit` largest groups of the selection, the largest first. At the begin of a transaction."""
    await connection.execute(ONE_SNAPSHOT)
    step = window / steps
    parameters: list[Any] = [answered_by, step, now]
    source = count_source(selection, finest=step)
    condition = selection.where(parameters)
    rows = await connection.fetch(
        f"""
        SELECT fingerprint, worker, reason, status_now, date_bin($2, failed_at, $3) AS begins,
            sum(letters)::bigint AS count, min(first_seen) AS first_seen, max(last_seen) AS last_seen
        FROM ({source}) AS counted WHERE {condition} GROUP BY 1, 2, 3, 4, 5 HAVING sum(letters) > 0
        """,  # noqa: S608
        *parameters,
    )
    totals: dict[Cause, _Total] = {}
    for row in rows:
        cause = Cause(row["fingerprint"], row["reason"])
        totals.setdefault(cause, _Total(steps)).add(row, (now - row["begins"]) // step - 1)
    largest = sorted(totals, key=lambda cause: (-totals[cause].counts.total(), cause))[:limit]
    chosen = {cause: totals[cause] for cause in largest}
    shared = [cause for cause, total in chosen.items() if len(total.workers) > 1]
    repeated = await repeated_records(connection, selection, answered_by, shared)
    return await _with_samples(connection, chosen, repeated)


async def _with_samples(
    connection: Connection, totals: Mapping[Cause, _Total], repeated: Mapping[Cause, int]
) -> list[Group]:
    newest = [max(total.last_seen) for total in totals.values()]
    columns: Iterable[Sequence[Any]] = (*zip(*totals, strict=True), newest) if totals else ([], [], [])
    samples = {row["place"]: row for row in await connection.fetch(SAMPLES, *map(list, columns))}
    groups = []
    for place, (cause, total) in enumerate(totals.items(), start=1):
        sample = samples.get(place, {"dead_id": "", "error": ""})
        counts, series = dict(total.counts), tuple(total.series)
        workers = dict(sorted(total.workers.items(), key=lambda one: (-one[1], one[0])))
        seen = min(total.first_seen), max(total.last_seen)
        records = total.counts.total() - repeated.get(cause, 0)
        groups.append(Group(*cause, workers, records, counts, *seen, sample["dead_id"], sample["error"], series))
    return groups
