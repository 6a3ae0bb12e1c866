"""A worker's Prometheus metrics, in a registry of its own."""

import platform
from collections.abc import Sequence
from importlib.metadata import version

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    Info,
    PlatformCollector,
    ProcessCollector,
)
from prometheus_client.registry import Collector

from headrace_runtime.exposition import page
from headrace_runtime.health import Health
from headrace_runtime.histograms import BatchHistogram
from headrace_runtime.lag import LagMetrics
from headrace_runtime.worker_state import WorkerState
from headrace_worker.store_calls import CALL_SECONDS, ERRORS
from headrace_worker.work_thread import busy_threads

DELAYS = (
    0.01, 0.025, 0.05, 0.1, 0.15, 0.2, 0.3, 0.5, 0.75, 1, 1.5, 2, 3, 4, 5, 7.5, 10, 15, 30, 60, 300, 1800, 7200, 86400,
)  # fmt: skip
"""Upper bounds of the buckets of delays, seconds."""
STEPS = (0.001, 0.0025, 0.005, *DELAYS)
BATCH_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 180)
"""A batch goes back to Kafka after `give_back_after`, and no call of a stage takes more than three times as long."""
BATCH_RECORDS = (1, 10, 50, 100, 250, 500, 1000, 2000, 3000, 4000)


class Metrics:
    """`records` counts Kafka records by outcome: applied, superseded, conflict, dead, ignored. Times are seconds.

    `healths`: of each consumer group of the worker. `more`: the metrics that only this worker has. `revision`: of the
    code, if it is known.
    """

    def __init__(
        self,
        worker: str,
        healths: Sequence[Health] = (),
        more: Sequence[Collector] = (),
        *,
        revision: str | None = None,
    ) -> None:
        self._worker = worker
        self.registry = own = process_registry(worker, healths, revision)
        for collector in (CALL_SECONDS, ERRORS, *more):
            own.register(collector)
        self._count_records(own)
        self._count_failures(own)
        self._measure_batches(own)
        self._show_partitions(own)
        busy = Gauge("headrace_busy_threads", "Threads that run a piece of work now", registry=own)
        busy.set_function(busy_threads)
        self._held: set[str] = set()

    def page(self, accept: str) -> tuple[bytes, str]:
        """The page of all metrics, for the value of a request's header Accept, and its content type."""
        return page(self._worker, self.registry, accept)

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

    def _count_records(self, own: CollectorRegistry) -> None:
        self.records = Counter("headrace_records", "Settled records", ["kind", "outcome"], registry=own)
        self.dead = Counter("headrace_dead_letters", "Published dead letters", ["reason"], registry=own)
        self.conflicts = Counter(
            "headrace_version_conflicts",
            "Changes that a store did not take because it has other content under their version",
            registry=own,
        )
        self.expired = Counter(
            "headrace_expired_unread", "Offsets that expired unread", ["topic", "partition"], registry=own
        )
        self.last_settled = Gauge("headrace_last_settled_timestamp_seconds", "Last settled batch", registry=own)

    def _count_failures(self, own: CollectorRegistry) -> None:
        self.unavailable = Counter(
            "headrace_unavailable", "Attempts that failed because a store was unavailable", ["store"], registry=own
        )
        self.retries = Counter("headrace_retries", "Attempts after a first one that failed", ["store"], registry=own)
        self.breaker_opened = Counter(
            "headrace_breaker_opened", "How often the breaker began to hold the topic", ["topic"], registry=own
        )
        self.spans_dropped = Counter(
            "headrace_spans_dropped", "Spans that the collector did not take, or that could not wait", registry=own
        )
        self.traces_left_out = Counter(
            "headrace_traces_left_out", "Slow or repeated changes whose spans were not made", registry=own
        )

    def _measure_batches(self, own: CollectorRegistry) -> None:
        self.batch_seconds = Histogram(
            "headrace_batch_seconds", "From poll to acknowledged receipts", buckets=BATCH_SECONDS, registry=own
        )
        self.batch_records = Histogram(
            "headrace_batch_records", "Records in a batch", buckets=BATCH_RECORDS, registry=own
        )
        self.delay = BatchHistogram("headrace_delay_seconds", "Seconds from occurred_at to applied", "kind", DELAYS)
        self.publication_delay = BatchHistogram(
            "headrace_publication_delay_seconds",
            "Seconds from the publication of the change to applied",
            "kind",
            DELAYS,
        )
        self.stage_seconds = BatchHistogram(
            "headrace_stage_seconds", "Seconds in each step of a batch; queued: of a record", "stage", STEPS
        )
        for histogram in (self.delay, self.publication_delay, self.stage_seconds):
            own.register(histogram)

    def _show_partitions(self, own: CollectorRegistry) -> None:
        self.rebalances = Counter("headrace_rebalances", "Assignments of partitions to this copy", registry=own)
        self.lag = LagMetrics()
        own.register(self.lag)
        self.open_transactions = Gauge(
            "headrace_open_transaction_records",
            "Records that cannot be read until a transaction ends",
            ["topic", "partition"],
            registry=own,
        )
        self.held = Gauge("headrace_held", "1 while a topic of the worker is held", registry=own)
        self.held_topics = Gauge(
            "headrace_held_topics", "1 while the breaker or a newer schema holds the topic", ["topic"], registry=own
        )
        self.held_partitions = Gauge("headrace_held_partitions", "Partitions that cannot be unpacked", registry=own)


def process_registry(worker: str, healths: Sequence[Health], revision: str | None = None) -> CollectorRegistry:
    """The metrics that every process has: of Python, its build, and the state of its `healths`."""
    own = CollectorRegistry()
    for of_process in (ProcessCollector, PlatformCollector, GCCollector):
        of_process(registry=own)
    info = Gauge("headrace_worker", "The worker of this process", ["worker"], registry=own)
    info.labels(worker).set(1)
    build = Info("headrace_build", "What this process runs", registry=own)
    known = {"revision": revision} if revision else {}
    build.info({"version": version("headrace-runtime"), "python": platform.python_version(), **known})
    own.register(WorkerState(healths))
    return own
