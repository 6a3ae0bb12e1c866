"""How far a worker is behind, in records and in seconds, for each partition that it reads."""

import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence, Set
from typing import Any, NamedTuple, Protocol

from aiokafka import TopicPartition
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector


class Ends(Protocol):
    """The part of a consumer that knows the ends of its partitions, as its last fetches saw them."""

    def assignment(self) -> Collection[TopicPartition]: ...
    def highwater(self, partition: TopicPartition) -> int | None: ...
    def last_stable_offset(self, partition: TopicPartition) -> int | None: ...


class Open(NamedTuple):
    """The first record of a partition that was read and is not settled: in flight, given back, or set aside."""

    offset: int
    timestamp: int


class Progress:
    """One partition. `position`: the next offset to read, None before the first poll. `since`: the later of the last
    settled record's timestamp and the time when nothing was left to read, milliseconds since 1970.
    """

    def __init__(self, since: float) -> None:
        self.position: int | None = None
        self.open: Open | None = None
        self.last_read = 0
        self.since = since


class Lag:
    """Follows the polls of one consumer and computes the lag at each scrape, so that it grows while a batch is stuck.

    `clock`: seconds since 1970.
    """

    def __init__(self, consumer: Ends, clock: Callable[[], float] = time.time) -> None:
        self._consumer = consumer
        self._clock = clock
        self._partitions: dict[TopicPartition, Progress] = {}
        self._in_flight: Set[TopicPartition] = frozenset()

    def polled(self, records: Mapping[TopicPartition, Sequence[Any]], positions: Mapping[TopicPartition, int]) -> None:
        """After a poll. Nothing else is in flight then, so that an open record before the position is settled or gone,
        unless it is among the polled records.
        """
        now = self._clock() * 1000
        self._in_flight = records.keys()
        for lost in self._partitions.keys() - self._consumer.assignment():
            del self._partitions[lost]
        for partition, position in positions.items():
            progress = self._of(partition, now)
            progress.position = position
            if taken := records.get(partition):
                progress.open = Open(taken[0].offset, taken[0].timestamp)
                progress.last_read = taken[-1].timestamp
            elif progress.open is not None and position > progress.open.offset:
                progress.open = None
            if progress.open is None and self._unread(partition, progress) == 0:
                progress.since = now

    def settled(self, set_aside: Set[TopicPartition]) -> None:
        """The last batch is settled, except for what was set aside of these partitions."""
        for partition in self._partitions.keys() & self._in_flight - set_aside:
            progress = self._partitions[partition]
            progress.open = None
            progress.since = max(progress.since, progress.last_read)

    def read(self) -> Iterator[tuple[TopicPartition, int, float]]:
        """Each assigned partition with the records that are not read yet, and the age in seconds of the oldest record
        that is not settled. If nothing of it has been read, its age is at most that.
        """
        now = self._clock() * 1000
        for partition, progress in self._partitions.items():
            if partition not in self._consumer.assignment():
                continue
            unread = self._unread(partition, progress)
            if progress.open is not None:
                age = now - progress.open.timestamp
            elif unread:
                age = now - progress.since
            else:
                progress.since, age = now, 0.0
            yield partition, unread, max(0.0, age / 1000)

    def _of(self, partition: TopicPartition, now: float) -> Progress:
        if partition not in self._partitions:
            self._partitions[partition] = Progress(now)
        return self._partitions[partition]

    def _unread(self, partition: TopicPartition, progress: Progress) -> int:
        """A broker without transactions has no last stable offset."""
        highwater, stable = self._consumer.highwater(partition), self._consumer.last_stable_offset(partition)
        if highwater is None or progress.position is None:
            return 0
        return max(0, (highwater if stable is None or stable < 0 else stable) - progress.position)


class LagMetrics(Collector):
    """The lag of every consumer of a worker."""

    def __init__(self) -> None:
        self._followed: list[Lag] = []

    def follow(self, lag: Lag) -> None:
        """Adds a consumer."""
        self._followed.append(lag)

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """The result of a scrape."""
        labels = ["topic", "partition"]
        records = GaugeMetricFamily("headrace_lag", "Records not yet polled", labels=labels)
        seconds = GaugeMetricFamily("headrace_lag_seconds", "Age of the oldest record not settled", labels=labels)
        for lag in self._followed:
            for (topic, partition), unread, age in lag.read():
                records.add_metric([topic, str(partition)], unread)
                seconds.add_metric([topic, str(partition)], age)
        yield records
        yield seconds
