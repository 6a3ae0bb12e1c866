"""A worker's Prometheus metrics, in a registry of its own."""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
)
from prometheus_client.core import HistogramMetricFamily
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from headrace_worker.work_thread import busy_threads

_DELAYS = (0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800, 7200, 86400)


class Delays(Collector):
    """A histogram by kind that observes a whole batch in one call, which takes a third less time for the metrics.

    `bounds`: upper bounds of the buckets, seconds, ascending.
    """

    def __init__(self, name: str, about: str, bounds: Sequence[float]) -> None:
        self._name = name
        self._about = about
        self._bounds = bounds
        self._counts: dict[str, list[int]] = {}
        self._sums: dict[str, float] = {}

    def observe(self, kind: str, delays: Iterable[float]) -> None:
        """Adds the delays of a batch, in seconds."""
        counts = self._counts.setdefault(kind, [0] * (len(self._bounds) + 1))
        total = 0.0
        for delay in delays:
            counts[bisect_left(self._bounds, delay)] += 1
            total += delay
        self._sums[kind] = self._sums.get(kind, 0.0) + total

    def collect(self) -> Iterator[HistogramMetricFamily]:
        """The result of a scrape: each bucket counts the delays at or below its bound."""
        family = HistogramMetricFamily(self._name, self._about, labels=["kind"])
        names = [*map(floatToGoString, self._bounds), "+Inf"]
        for kind, counts in self._counts.items():
            family.add_metric([kind], list(zip(names, accumulate(counts), strict=True)), self._sums[kind])
        yield family


class Metrics:
    """`records` counts Kafka records by outcome: applied, superseded, conflict, dead, ignored. Times are seconds."""

    def __init__(self, worker: str) -> None:
        self.registry = CollectorRegistry()
        for collector in (ProcessCollector, PlatformCollector, GCCollector):
            collector(registry=self.registry)
        own = self.registry
        info = Gauge("headrace_worker", "The worker of this process", ["worker"], registry=own)
        info.labels(worker).set(1)
        self.records = Counter("headrace_records", "Settled records", ["kind", "outcome"], registry=own)
        self.dead = Counter("headrace_dead_letters", "Published dead letters", ["reason"], registry=own)
        self.conflicts = Counter(
            "headrace_version_conflicts",
            "Changes that a store did not take because it has other content under their version",
            registry=own,
        )
        self.unavailable = Counter(
            "headrace_unavailable", "Attempts that failed because a store was unavailable", ["store"], registry=own
        )
        self.expired = Counter(
            "headrace_expired_unread",
            "Offsets that expired unread",
            ["topic", "partition"],
            registry=own,
        )
        self.lag = Gauge("headrace_lag", "Records not yet polled", ["topic", "partition"], registry=own)
        self.open_transactions = Gauge(
            "headrace_open_transaction_records",
            "Records that cannot be read until a transaction ends",
            ["topic", "partition"],
            registry=own,
        )
        self.last_settled = Gauge("headrace_last_settled_timestamp_seconds", "Last settled batch", registry=own)
        self.held = Gauge("headrace_held", "1 while a topic of the worker is held", registry=own)
        self.held_topics = Gauge(
            "headrace_held_topics", "1 while the breaker or a newer schema holds the topic", ["topic"], registry=own
        )
        self.held_partitions = Gauge("headrace_held_partitions", "Partitions that cannot be unpacked", registry=own)
        busy = Gauge("headrace_busy_threads", "Threads that run a piece of work now", registry=own)
        busy.set_function(busy_threads)
        self.batch_seconds = Histogram("headrace_batch_seconds", "From poll to acknowledged receipts", registry=own)
        self.batch_records = Histogram(
            "headrace_batch_records",
            "Records in a batch",
            buckets=(1, 10, 50, 100, 250, 500, 1000, 2500, 5000),
            registry=own,
        )
        self.delay = Delays("headrace_delay_seconds", "Seconds from occurred_at to applied", _DELAYS)
        own.register(self.delay)
        self._held: set[str] = set()

    def hold(self, topic: str) -> None:
        """The topic is held."""
        self._held.add(topic)
        self.held_topics.labels(topic).set(1)
        self.held.set(1)

    def release(self, topic: str) -> None:
        """The topic is held no longer."""
        self._held.discard(topic)
        self.held_topics.labels(topic).set(0)
        self.held.set(1 if self._held else 0)
