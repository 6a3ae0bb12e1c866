"""Whether every store is fresh, and if not, what is late and where it stands. From the monitor's last reading."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal, NamedTuple

from headrace_clients.worker_metrics import (
    DELAY,
    GROUP_LAG_SECONDS,
    LAG_SECONDS,
    OBJECTIVE,
    SEARCHABLE,
    SEARCHABLE_LINKS,
    Buckets,
    quantile,
)
from headrace_console.formats.times import delay
from headrace_console.monitor.delay_history import KEPT_STEPS, STEP_SECONDS, Key
from headrace_console.monitor.worker_monitor import CANARY, Watched, WorkerMonitor

NOW_SECONDS = 300.0
"""The delay "now" is that of the last five minutes."""
STEPS_A_COLUMN = 5
COLUMNS = KEPT_STEPS // STEPS_A_COLUMN
LATE_SECONDS = 5.0
"""Age of an unsettled record from which a partition is late, while no canary says the objective."""
MOST_PARTITIONS = 5
STALE = timedelta(seconds=30)
"""Six readings."""
NO_CANARY = "not measured: no canary runs"
NO_ANSWER = "not measured: the canary does not answer"
NO_CHANGE = "not measured: no change in the last 5 minutes"

State = Literal["within", "late", "unknown"]


@dataclass(frozen=True, slots=True)
class Delay:
    """`number` of observations, and their median and 99th percentile in seconds; None without an observation."""

    number: int
    p50: float | None
    p99: float | None


@dataclass(frozen=True, slots=True)
class StoreFreshness:
    """One store's entities or links. `searchable`: from publication until a search finds it, of the canary. `applied`:
    from publication until it is stored, of all changes. `hours`: the same as `searchable`, over all that is kept.
    `columns`: the p99 of every five minutes, oldest first. `why`: why the state is not "within".
    """

    store: str
    what: str
    state: State
    why: str
    searchable: Delay
    applied: Delay
    hours: Delay
    applied_hours: Delay
    columns: Sequence[float | None]
    measured: bool


@dataclass(frozen=True, slots=True)
class Late:
    """Something that is late or not known. `known`: False if nobody can say how late."""

    worker: str
    text: str
    known: bool = True


@dataclass(frozen=True, slots=True)
class Freshness:
    """`objective`: seconds within which a search is to find 99 % of the changes; None if no canary says it."""

    objective: float | None
    stores: Sequence[StoreFreshness]
    late: Sequence[Late]

    @property
    def state(self) -> State:
        """Of all stores together."""
        states = {one.state for one in self.stores}
        if "late" in states or any(one.known for one in self.late):
            return "late"
        return "within" if states == {"within"} and not self.late else "unknown"


def freshness(
    monitor: WorkerMonitor, now: float, entity_stores: Sequence[str], link_stores: Sequence[str]
) -> Freshness:
    """`now`: seconds on the clock of the monitor's history. The stores are those of the workers of these names."""
    canary = monitor.health.get(CANARY)
    said = [
        value
        for copy in (canary.copies.values() if canary else ())
        for value in copy.metrics.values(OBJECTIVE).values()
    ]
    objective = said[0] if said else None
    found = list(_late(monitor, objective or LATE_SECONDS))
    view = _View(monitor, now, objective, found)
    stores = [view.store(name, links=False) for name in entity_stores]
    stores += [view.store(name, links=True) for name in link_stores]
    return Freshness(objective, stores, found)


@dataclass(frozen=True, slots=True)
class _View:
    monitor: WorkerMonitor
    now: float
    objective: float | None
    late: Sequence[Late]

    def store(self, name: str, *, links: bool) -> StoreFreshness:
        """The entities of a store, or its links."""
        searches = [key for key in self.monitor.history.observed() if _is_search(key, name, links)]
        writes = [key for key in self.monitor.history.observed() if _is_write(key, name, links)]
        history, now = self.monitor.history, self.now
        recent = delays(history.window(now, NOW_SECONDS, searches))
        shown = searches or writes
        columns = [quantile(one, 0.99) for one in history.series(now, COLUMNS, STEPS_A_COLUMN, shown)]
        state, why = self._state(name, recent, links)
        whole = KEPT_STEPS * STEP_SECONDS
        return StoreFreshness(
            store=name,
            what="links" if links else "products and keywords",
            state=state,
            why=why,
            searchable=recent,
            applied=delays(history.window(now, NOW_SECONDS, writes)),
            hours=delays(history.window(now, whole, searches)),
            applied_hours=delays(history.window(now, whole, writes)),
            columns=columns,
            measured=bool(searches),
        )

    def _state(self, name: str, recent: Delay, links: bool) -> tuple[State, str]:
        on_the_way = {name, "embed", *(("link", "qdrant") if links else ())}
        late = [one for one in self.late if one.worker in on_the_way]
        known = next((one for one in late if one.known), None)
        if known is not None:
            return "late", f"because of {known.worker}: see below"
        if recent.p99 is None or self.objective is None:
            return "unknown", self._why_not_measured()
        if recent.p99 > self.objective:
            return "late", f"p99 {delay(recent.p99)} is above the objective of {delay(self.objective)}"
        return ("unknown", f"because of {late[0].worker}: see below") if late else ("within", "")

    def _why_not_measured(self) -> str:
        watched = [one for one in self.monitor.watched if one.group.worker == CANARY]
        if not any(one.now and one.now.members for one in watched) and CANARY not in self.monitor.health:
            return NO_CANARY
        return NO_CHANGE if CANARY in self.monitor.health else NO_ANSWER


def delays(buckets: Buckets) -> Delay:
    """The quantiles of a histogram."""
    return Delay(int(max(buckets.values(), default=0)), quantile(buckets, 0.5), quantile(buckets, 0.99))


class PartitionLag(NamedTuple):
    """Unsettled records of a partition. `age`: seconds, of the oldest of them; None if it is not known."""

    topic: str
    number: int
    records: int
    age: float | None
    group: str


def partition_lags(monitor: WorkerMonitor, *groups: Watched) -> list[PartitionLag]:
    """The partitions with unsettled records of all these groups; those of unknown age first, then the oldest first."""
    found = []
    for watched in groups:
        ages = lag_ages(monitor, watched.group.worker)
        for one, records in (watched.now.partitions if watched.now else {}).items():
            age = ages.get((one.topic, one.partition))
            found.append(PartitionLag(one.topic, one.partition, records, age, watched.group.name))
    return sorted(found, key=lambda one: (-math.inf if one.age is None else -one.age, *one[:2], one.group))


def lag_ages(monitor: WorkerMonitor, worker: str) -> dict[tuple[str, int], float]:
    """By topic and partition the age of the oldest record that is not settled, as the worker's copies report it."""
    health = monitor.health.get(worker)
    ages: dict[tuple[str, int], float] = {}
    for copy in health.copies.values() if health else ():
        for labels, seconds in copy.metrics.values(LAG_SECONDS).items():
            named = dict(labels)
            if "topic" in named and named.get("partition", "").isdecimal():
                place = named["topic"], int(named["partition"])
                ages[place] = max(ages.get(place, 0.0), seconds)
    return ages


def _late(monitor: WorkerMonitor, limit: float) -> Iterator[Late]:
    if monitor.problem:
        yield Late("kafka", f"{monitor.problem}; what follows is older", known=False)
    elif monitor.read_at is None:
        yield Late("kafka", "the lag has not been read from Kafka yet", known=False)
    elif datetime.now(UTC) - monitor.read_at > STALE:
        yield Late("kafka", "the lag was last read more than half a minute ago; what follows is older", known=False)
    said: set[str] = set()
    for watched in monitor.watched:
        worker = watched.group.worker
        if worker not in said:
            said.add(worker)
            yield from _state_of(monitor, watched)
        if worker != CANARY:
            yield from _lag_of(monitor, watched, limit)


def _state_of(monitor: WorkerMonitor, watched: Watched) -> Iterator[Late]:
    worker, now = watched.group.worker, watched.now
    health = monitor.health.get(worker)
    if health is not None and health.answered:
        yield from (Late(worker, f"{worker}: {problem}") for problem in health.problems)
        if now is not None and (silent := now.members - len(health.copies)) > 0:
            yield Late(worker, f"{worker}: {silent} of {now.members} copies cannot be read from here", known=False)
    elif now is not None and not now.members:
        yield Late(worker, f"no copy of {worker} runs", known=worker != CANARY)
    elif now is not None:
        yield Late(worker, f"{worker} does not answer: its state is not known", known=False)


def _lag_of(monitor: WorkerMonitor, watched: Watched, limit: float) -> Iterator[Late]:
    worker, group = watched.group.worker, watched.group.name
    found = partition_lags(monitor, watched)
    late = [one for one in found if one.age is not None and one.age > limit]
    for one in late[:MOST_PARTITIONS]:
        said = f"{one.topic}-{one.number} is {delay(one.age or 0.0)} behind, {one.records:,} records"
        yield Late(worker, f"{worker}: {said}")
    if len(late) > MOST_PARTITIONS:
        yield Late(worker, f"{worker}: {len(late) - MOST_PARTITIONS} more partitions are behind")
    unknown = [one for one in found if one.age is None]
    if unknown and worker not in monitor.health:
        seconds = _seen_by_canary(monitor, group)
        records = sum(one[2] for one in unknown)
        if seconds is None:
            yield Late(worker, f"{worker}: {records:,} records are not settled; how old they are is not known")
        elif seconds > limit:
            yield Late(worker, f"{worker}: {records:,} records are not settled, the oldest for {delay(seconds)}")


def _seen_by_canary(monitor: WorkerMonitor, group: str) -> float | None:
    """The age of the oldest record that a group has not committed, as the canary reports it."""
    canary = monitor.health.get(CANARY)
    ages = [
        seconds
        for copy in (canary.copies.values() if canary else ())
        for labels, seconds in copy.metrics.values(GROUP_LAG_SECONDS).items()
        if ("group", group) in labels
    ]
    return max(ages, default=None)


def _is_search(key: Key, store: str, links: bool) -> bool:
    _, (name, labels) = key
    return name == (SEARCHABLE_LINKS if links else SEARCHABLE) and ("store", store) in labels


def _is_write(key: Key, store: str, links: bool) -> bool:
    worker, (name, labels) = key
    return name == DELAY and worker == store and (("kind", "product_links") in labels) == links
