"""Reports the transactions that keep records of a worker's partitions from being read."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import NamedTuple

from aiokafka import TopicPartition

from headrace_runtime.health import Health, spoken
from headrace_runtime.metrics import Metrics


class Marks(NamedTuple):
    """Two ends of a partition: of all records, and of those that can be read. An open transaction is between them."""

    highwater: int
    stable: int


class _Open(NamedTuple):
    stable: int
    since: datetime


class OpenTransactions:
    """Shows open transactions as a metric and as a note of /readyz. They are not a problem of the worker: only
    the transaction's producer, or its timeout, can end them.
    """

    def __init__(
        self, health: Health, metrics: Metrics, now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._health = health
        self._metrics = metrics
        self._now = now
        self._open: dict[TopicPartition, _Open] = {}

    def report(self, marks: Mapping[TopicPartition, Marks]) -> None:
        """`marks`: of every assigned partition, after a poll."""
        waiting = {partition: ends for partition, ends in marks.items() if ends.highwater > ends.stable}
        for partition in self._open.keys() - waiting.keys():
            del self._open[partition]
            self._metrics.open_transactions.labels(partition.topic, str(partition.partition)).set(0)
            self._health.note(_subject(partition), None)
        for partition, (highwater, stable) in waiting.items():
            known = self._open.get(partition)
            if known is None or known.stable != stable:
                known = self._open[partition] = _Open(stable, self._now())
            self._show(partition, highwater - stable, known.since)

    def _show(self, partition: TopicPartition, records: int, since: datetime) -> None:
        self._metrics.open_transactions.labels(partition.topic, str(partition.partition)).set(records)
        waiting = f"{records:,} record{'s' * (records != 1)} cannot be read until its producer commits or aborts"
        place = f"{partition.topic}-{partition.partition}"
        text = f"{place} has an open transaction since {spoken(since)}: {waiting}"
        self._health.note(_subject(partition), text)


def _subject(partition: TopicPartition) -> str:
    return f"open transaction {partition.topic}-{partition.partition}"
