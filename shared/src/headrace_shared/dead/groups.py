"""Dead letters by their cause."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import asyncpg

from headrace_shared.clients.postgres import Connection
from headrace_shared.dead.folding import LETTERS
from headrace_shared.dead.selection import Selection, Status

SAMPLES = f"""
    SELECT wanted.place, sample.dead_id, sample.error
    FROM unnest($1::text[], $2::text[], $3::text[], $4::timestamptz[]) WITH ORDINALITY
        AS wanted (fingerprint, worker, reason, failed_at, place)
    CROSS JOIN LATERAL (
        SELECT dead_id, error FROM {LETTERS} AS letter
        WHERE letter.failed_at = wanted.failed_at AND letter.fingerprint = wanted.fingerprint
            AND letter.worker = wanted.worker AND letter.reason = wanted.reason
        LIMIT 1
    ) AS sample
    ORDER BY place
"""  # noqa: S608


@dataclass(frozen=True, slots=True)
class Group:
    """The letters of one cause. `counts`: by status, those with none left out. `series`: newest failures in equal
    steps of time, the last of them ending now.
    """

    fingerprint: str
    worker: str
    reason: str
    counts: Mapping[Status, int]
    first_seen: datetime
    last_seen: datetime
    sample_id: str
    sample_error: str
    series: tuple[int, ...]

    @property
    def total(self) -> int:
        """How many letters there are."""
        return sum(self.counts.values())


class _Cause(NamedTuple):
    fingerprint: str
    worker: str
    reason: str


class _Tally:
    """One group while it is counted."""

    def __init__(self, steps: int) -> None:
        self.counts: Counter[Status] = Counter()
        self.series = [0] * steps
        self.first_seen: list[datetime] = []
        self.last_seen: list[datetime] = []

    def add(self, row: asyncpg.Record) -> None:
        self.counts[row["status_now"]] += row["count"]
        self.first_seen.append(row["first_seen"])
        self.last_seen.append(row["last_seen"])
        if row["age"] < len(self.series):
            self.series[-1 - max(0, row["age"])] += row["count"]


async def groups_of(
    connection: Connection,
    selection: Selection,
    visible: str,
    parameters: list[Any],
    *,
    now: datetime,
    window: timedelta,
    steps: int,
    most: int,
) -> list[Group]:
    """The `most` largest groups of the selection. `visible`: a query of letters with `status_now`."""
    condition = selection.where(parameters)
    age = f"floor(extract(epoch FROM (${len(parameters) + 1} - failed_at)) / ${len(parameters) + 2})"
    parameters += [now, window.total_seconds() / steps, steps]
    rows = await connection.fetch(
        f"""
        SELECT fingerprint, worker, reason, status_now, least({age}, ${len(parameters)})::integer AS age,
            count(*), min(first_failed_at) AS first_seen, max(failed_at) AS last_seen
        FROM ({visible}) AS visible WHERE {condition} GROUP BY 1, 2, 3, 4, 5
        """,  # noqa: S608
        *parameters,
    )
    tallies: dict[_Cause, _Tally] = {}
    for row in rows:
        cause = _Cause(row["fingerprint"], row["worker"], row["reason"])
        tallies.setdefault(cause, _Tally(steps)).add(row)
    largest = sorted(tallies, key=lambda cause: (-tallies[cause].counts.total(), cause))[:most]
    return await _with_samples(connection, {cause: tallies[cause] for cause in largest})


async def _with_samples(connection: Connection, tallies: Mapping[_Cause, _Tally]) -> list[Group]:
    newest = [max(tally.last_seen) for tally in tallies.values()]
    columns: Iterable[Sequence[Any]] = (*zip(*tallies, strict=True), newest) if tallies else ([], [], [], [])
    samples = {row["place"]: row for row in await connection.fetch(SAMPLES, *map(list, columns))}
    groups = []
    for place, (cause, tally) in enumerate(tallies.items(), start=1):
        sample = samples.get(place, {"dead_id": "", "error": ""})
        counts, series = dict(tally.counts), tuple(tally.series)
        seen = min(tally.first_seen), max(tally.last_seen)
        groups.append(Group(*cause, counts, *seen, sample["dead_id"], sample["error"], series))
    return groups
