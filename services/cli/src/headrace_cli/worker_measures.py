"""What is measured of the workers for `headrace status`: rates, ages, delays, dead letters that wait, live entities."""

import asyncio
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from headrace_cli.worker_states import WorkerState
from headrace_clients.worker_metrics import (
    DELAY,
    GROUP_LAG_SECONDS,
    LAG_SECONDS,
    Buckets,
    WorkerMetrics,
    added,
    quantile,
)
from headrace_letters.index import open_index
from headrace_letters.index_settings import IndexSettings
from headrace_letters.installed_stores import InstalledStores, open_installed_stores
from headrace_letters.selection import Selection
from headrace_schemas.fields import Kind
from headrace_schemas.topics import SOURCE_NAMES
from headrace_worker.stage import Unavailable
from headrace_worker.worker import rejecting_names

A = TypeVar("A")
ANSWER_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Measures:
    """`waiting`: dead letters by worker. `live`: by the worker of the store, the entities of each kind that are not
    deleted. What is not known is missing.
    """

    waiting: Mapping[str, int]
    live: Mapping[str, Mapping[Kind, int]]


async def measures() -> Measures:
    """Asks the index of dead letters and every store, at once. A server that does not answer leaves a gap."""
    async with open_installed_stores() as stores:
        waiting, live = await asyncio.gather(_waiting(), _live(stores))
    return Measures(waiting, live)


def lag_seconds(state: WorkerState, topics: frozenset[str], canary: Sequence[WorkerMetrics]) -> float | None:
    """The age of the oldest record that a group has not settled: as its copies say if all of them answer, otherwise as
    the canary sees it; None if neither is known.
    """
    if state.copies and len(state.metrics) == state.copies:
        ages = [
            seconds
            for one in state.metrics
            for labels, seconds in one.values(LAG_SECONDS).items()
            if dict(labels).get("topic") in topics
        ]
        return max(ages, default=None)
    seen = [
        seconds
        for one in canary
        for labels, seconds in one.values(GROUP_LAG_SECONDS).items()
        if ("group", state.group) in labels
    ]
    return max(seen, default=None)


def delays_of(state: WorkerState) -> Buckets:
    """From publication to applied, of all kinds and copies of a worker, since they started."""
    return added(buckets for one in state.metrics for (name, _), buckets in one.histograms.items() if name == DELAY)


def spoken_delay(buckets: Buckets) -> str:
    """The median and the 99th percentile in seconds; a dash without an observation."""
    found = [quantile(buckets, share) for share in (0.5, 0.99)]
    return " / ".join("–" if one is None else f"{one:,.2f}" for one in found)


async def _waiting() -> dict[str, int]:
    names = rejecting_names()
    async with open_index(IndexSettings()) as index:
        counts = await asyncio.gather(
            *(_known(index.count(Selection(worker=name, status=("waiting",)))) for name in names)
        )
    found = zip(names, counts, strict=True)
    return {name: count.get("waiting", 0) for name, count in found if count is not None}


async def _live(stores: InstalledStores) -> dict[str, dict[Kind, int]]:
    async def of(name: str) -> dict[Kind, int]:
        counts = await asyncio.gather(*(_known(stores.live_count(name, kind)) for kind in SOURCE_NAMES))
        return {kind: count for kind, count in zip(SOURCE_NAMES, counts, strict=True) if count is not None}

    found = await asyncio.gather(*(of(name) for name in stores.entity_stores))
    return dict(zip(stores.entity_stores, found, strict=True))


async def _known(asking: Awaitable[A]) -> A | None:
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            return await asking
    except (Unavailable, TimeoutError, ValueError):
        return None
