"""A worker's Prometheus metrics, in a registry of its own."""

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
)

_DELAYS = (0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800, 7200, 86400)


class Metrics:
    """`records` counts Kafka records by outcome: applied, superseded, dead, ignored. Times are seconds."""

    def __init__(self, worker: str) -> None:
        self.registry = CollectorRegistry()
        for collector in (ProcessCollector, PlatformCollector, GCCollector):
            collector(registry=self.registry)
        own = self.registry
        info = Gauge("headrace_worker", "The worker that this process runs", ["worker"], registry=own)
        info.labels(worker).set(1)
        self.records = Counter("headrace_records", "Records settled", ["kind", "outcome"], registry=own)
        self.dead = Counter("headrace_dead_letters", "Dead letters published", ["reason"], registry=own)
        self.conflicts = Counter("headrace_version_conflicts", "Changes of one version that differ", registry=own)
        self.unavailable = Counter("headrace_unavailable", "Tries that a store did not answer", ["store"], registry=own)
        self.expired = Counter(
            "headrace_expired_unread", "Offsets expired before read", ["topic", "partition"], registry=own
        )
        self.lag = Gauge("headrace_lag", "Records not yet taken", ["topic", "partition"], registry=own)
        self.last_settled = Gauge("headrace_last_settled_timestamp_seconds", "Last settled batch", registry=own)
        self.held = Gauge("headrace_held", "1 while the breaker or a newer schema holds the worker", registry=own)
        self.held_partitions = Gauge("headrace_held_partitions", "Partitions that cannot be unpacked", registry=own)
        self.batch_seconds = Histogram("headrace_batch_seconds", "From poll to acknowledged", registry=own)
        self.batch_records = Histogram(
            "headrace_batch_records",
            "Records in a batch",
            buckets=(1, 10, 50, 100, 250, 500, 1000, 2500, 5000),
            registry=own,
        )
        self.delay = Histogram(
            "headrace_delay_seconds", "From occurred_at to applied", ["kind"], buckets=_DELAYS, registry=own
        )
