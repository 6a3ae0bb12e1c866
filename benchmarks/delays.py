"""The delays of a run: to applied, from the receipts of all changes; to searchable, from the canary's searches."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from benchmarks.freshness_canary import Seen
from headrace_canary.metrics import LINKS
from headrace_clients.topic_reader import TopicReader
from headrace_schemas.canary import CANARY_ID
from headrace_schemas.receipts import Receipts

SHARES = (50, 95, 99)
LINK = "link"
"""The worker that keeps links in Qdrant."""


@dataclass
class Delays:
    """Seconds from the publication of a change, one for each measured change. `at`: when each was published, seconds
    since 1970.
    """

    what: str
    store: str
    goal: float | None = None
    at: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)

    def percentiles(self) -> list[float]:
        """p50, p95 and p99; nan without a measured change."""
        return [float(np.percentile(self.seconds, share)) if self.seconds else float("nan") for share in SHARES]

    @property
    def reached(self) -> bool | None:
        """Whether p99 is within the goal; None without a goal."""
        return None if self.goal is None else self.percentiles()[-1] <= self.goal


@dataclass
class Settled:
    """What the receipts of a time say. `last`: when the last of them was applied, seconds since 1970."""

    applied: dict[tuple[str, bool], Delays] = field(default_factory=dict)
    last: float = 0.0


async def settled(reader: TopicReader, began: float, ended: float) -> Settled:
    """Reads the receipts that were not read yet. A change counts if it was published between `began` and `ended`, and a
    redelivered one once. The canary does not count.
    """
    found, seen = Settled(), set()
    async for record in reader.until_now():
        report = Receipts.model_validate_json(record.value)
        applied_at = report.applied_at.timestamp()
        for receipt in report.receipts:
            position = report.worker, receipt.topic, receipt.partition, receipt.offset
            if receipt.published_at is None or receipt.id == CANARY_ID or position in seen:
                continue
            seen.add(position)
            published = receipt.published_at.timestamp()
            if not began <= published <= ended:
                continue
            found.last = max(found.last, applied_at)
            if receipt.outcome == "applied":
                links = receipt.kind == LINKS
                what = "applied, links" if links else "applied"
                delays = found.applied.setdefault((report.worker, links), Delays(what, report.worker))
                delays.at.append(published)
                delays.seconds.append(applied_at - published)
    return found


def searchable(seen: Sequence[Seen], began: float, ended: float, goal: float, links_goal: float) -> Iterator[Delays]:
    """By store, of the canary's changes that were published between `began` and `ended`."""
    found: dict[tuple[str, bool], Delays] = {}
    for one in seen:
        if began <= one.published <= ended:
            links = one.kind == LINKS
            what = "searchable, links" if links else "searchable"
            delays = Delays(what, "qdrant" if one.store == LINK else one.store, links_goal if links else goal)
            delays = found.setdefault((one.store, links), delays)
            delays.at.append(one.published)
            delays.seconds.append(one.seconds)
    yield from sorted(found.values(), key=lambda delays: (delays.what, delays.store))
