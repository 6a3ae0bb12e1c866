"""The lag in seconds is the age of the oldest record that is not settled, at the time of the scrape."""

from collections.abc import Collection
from typing import Any

from aiokafka import TopicPartition
from harness.kafka_record import TOPIC, kafka_record

from headrace_runtime.lag import Lag, LagMetrics

FIRST, SECOND = TopicPartition(TOPIC, 0), TopicPartition(TOPIC, 1)


class Consumer:
    """A consumer whose partitions end at `ends`; the clock is in seconds."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.assigned: Collection[TopicPartition] = [FIRST, SECOND]
        self.ends = {FIRST: 0, SECOND: 0}
        self.stable: dict[TopicPartition, int] = {}
        self.lag = Lag(self, lambda: self.now)

    def assignment(self) -> Collection[TopicPartition]:
        return self.assigned

    def highwater(self, partition: TopicPartition) -> int | None:
        return self.ends.get(partition)

    def last_stable_offset(self, partition: TopicPartition) -> int | None:
        return self.stable.get(partition)

    def poll(self, *records: Any, first: int = 0, second: int = 0) -> None:
        """`first`, `second`: the positions afterwards."""
        polled: dict[TopicPartition, list[Any]] = {}
        for record in records:
            polled.setdefault(TopicPartition(TOPIC, record.partition), []).append(record)
        self.lag.polled(polled, {FIRST: first, SECOND: second})

    def read(self) -> dict[int, tuple[int, float]]:
        """Records and seconds by partition."""
        return {partition.partition: (records, seconds) for partition, records, seconds in self.lag.read()}


def record(offset: int, at: float, partition: int = 0) -> Any:
    return kafka_record(b"v", partition=partition, offset=offset, timestamp=int(at * 1000))


def test_nothing_is_behind_on_an_empty_partition_however_long_it_is_empty() -> None:
    consumer = Consumer()
    consumer.poll()
    consumer.now += 500
    assert consumer.read() == {0: (0, 0.0), 1: (0, 0.0)}


def test_the_age_grows_while_a_batch_is_stuck_and_ends_when_it_is_settled() -> None:
    consumer = Consumer()
    consumer.ends = {FIRST: 3, SECOND: 0}
    consumer.poll(record(0, 990), record(1, 995), first=2)
    assert consumer.read() == {0: (1, 10.0), 1: (0, 0.0)}
    consumer.now += 60
    assert consumer.read()[0] == (1, 70.0)
    consumer.lag.settled(frozenset())
    assert consumer.read()[0] == (1, 60.0), "one record is left, and nothing is known of it but that it is not older"
    consumer.poll(record(2, 1050), first=3)
    assert consumer.read()[0] == (0, 10.0)
    consumer.lag.settled(frozenset())
    assert consumer.read()[0] == (0, 0.0)


def test_what_arrives_while_another_batch_is_in_flight_ages_from_when_its_partition_was_last_empty() -> None:
    consumer = Consumer()
    consumer.ends = {FIRST: 1, SECOND: 0}
    consumer.poll(record(0, 1000), first=1)
    consumer.now += 30
    assert consumer.read()[1] == (0, 0.0)
    consumer.ends[SECOND] = 4
    consumer.now += 20
    assert consumer.read() == {0: (0, 50.0), 1: (4, 20.0)}


def test_a_batch_that_is_given_back_keeps_its_age_also_while_another_partition_goes_on() -> None:
    consumer = Consumer()
    consumer.ends = {FIRST: 1, SECOND: 1}
    consumer.poll(record(0, 900), record(0, 950, partition=1), first=1, second=1)
    consumer.now += 60
    consumer.poll(record(0, 950, partition=1), first=0, second=1)
    consumer.lag.settled(frozenset())
    assert consumer.read() == {0: (1, 160.0), 1: (0, 0.0)}
    consumer.poll(record(0, 900), first=1, second=1)
    consumer.lag.settled(frozenset())
    assert consumer.read()[0] == (0, 0.0)


def test_what_a_hold_has_set_aside_keeps_its_age_until_it_is_settled_or_gone() -> None:
    consumer = Consumer()
    consumer.ends = {FIRST: 9, SECOND: 1}
    consumer.poll(record(5, 900), record(0, 1000, partition=1), first=6, second=1)
    consumer.lag.settled({FIRST})
    for _ in range(3):
        consumer.now += 100
        consumer.poll(first=5, second=1)
    assert consumer.read() == {0: (4, 400.0), 1: (0, 0.0)}
    consumer.poll(first=9, second=1)
    assert consumer.read()[0] == (0, 0.0)


def test_a_partition_whose_next_record_cannot_be_unpacked_ages_from_the_last_settled_one() -> None:
    consumer = Consumer()
    consumer.ends = {FIRST: 2, SECOND: 0}
    consumer.poll(record(0, 999), first=1)
    consumer.lag.settled(frozenset())
    for _ in range(10):
        consumer.now += 30
        consumer.poll(first=1)
    assert consumer.read()[0] == (1, 300.0)


def test_a_record_behind_an_open_transaction_is_not_lag_and_a_lost_partition_is_not_shown() -> None:
    consumer = Consumer()
    consumer.ends, consumer.stable = {FIRST: 9, SECOND: 3}, {FIRST: 2, SECOND: -1}
    consumer.poll(first=2, second=1)
    consumer.now += 5
    assert consumer.read() == {0: (0, 0.0), 1: (2, 5.0)}
    consumer.assigned = [FIRST]
    assert consumer.read().keys() == {0}
    consumer.poll(first=2)
    consumer.assigned = [FIRST, SECOND]
    consumer.poll(first=2, second=1)
    assert consumer.read()[1] == (2, 0.0), "what was known before the rebalance is old"


def test_a_worker_with_two_consumers_shows_the_partitions_of_both() -> None:
    metrics = LagMetrics()
    for _ in range(2):
        consumer = Consumer()
        consumer.poll()
        metrics.follow(consumer.lag)
    assert [len(family.samples) for family in metrics.collect()] == [4, 4]
