"""Removes tombstones that no late change can need any more."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from headrace_clients.kafka import retention
from headrace_schemas.topics import DAY_MS, SOURCE_NAMES
from headrace_verify.compared_store import ComparedStore
from headrace_worker.scan import Purges
from headrace_worker.settings import CommonSettings
from headrace_worker.stage import Unavailable
from headrace_worker.worker import rejecting_names


@dataclass(frozen=True, slots=True)
class Purged:
    """`removed`: tombstones. `problem`: why the store was left as it is."""

    store: str
    removed: int = 0
    problem: str = ""


async def shortest_age(settings: CommonSettings) -> float:
    """The days that a tombstone must stay: as long as a dead letter, whose replay it has to keep out. Raises
    Unavailable if Kafka does not tell.
    """
    longest = 0.0
    for name in rejecting_names():
        kept = await retention(settings.kafka, settings.topics.dead(name))
        if kept is None:
            raise Unavailable("kafka", f"the retention of {settings.topics.dead(name)} cannot be read")
        longest = max(longest, float("inf") if kept < 0 else kept / DAY_MS)
    return longest


async def purge(stores: Collection[ComparedStore], days: float) -> list[Purged]:
    """Removes the tombstones that each store has had for longer. A store that does not answer is named."""
    before = datetime.now(UTC) - timedelta(days=days)
    return [await _purge(store, before) for store in stores]


async def _purge(store: ComparedStore, before: datetime) -> Purged:
    if not isinstance(store.scan, Purges):
        return Purged(store.name, problem="the store has no way to remove tombstones")
    removed = 0
    try:
        for kind in SOURCE_NAMES:
            removed += await store.scan.purge(kind, before)
    except (Unavailable, ValueError) as error:
        return Purged(store.name, removed, str(error))
    return Purged(store.name, removed)
