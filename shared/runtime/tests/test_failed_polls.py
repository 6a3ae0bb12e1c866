"""A poll that fails loses no record that aiokafka had taken from another partition."""

from collections.abc import Mapping
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import CorruptRecordException, KafkaConnectionError
from harness.kafka_record import kafka_record

from headrace_runtime.consumer import PartitionConsumer
from headrace_runtime.health import Health
from headrace_runtime.holds import Holds
from headrace_runtime.metrics import Metrics

GOOD, BAD = TopicPartition("products", 0), TopicPartition("products", 1)


class Partitions:
    """Kafka's side: `GOOD` has records, and `BAD` cannot be unpacked. `asked`: requests for committed offsets.

    `failing`: those of them that Kafka does not answer. `reached`: whether Kafka answers when `BAD` is read alone.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch, failing: set[int], *, reached: bool = False) -> None:
        self.positions = {GOOD: 0, BAD: 0}
        self.asked = 0
        self.reached = reached
        self.paused: set[TopicPartition] = set()

        async def getmany(consumer: Any, *partitions: Any, max_records: int, **options: Any) -> Any:
            if partitions == (GOOD,):
                return {GOOD: [kafka_record(b"")] * 3}
            if partitions and max_records == 1:
                return self._one_record()
            if not partitions:
                self.positions[GOOD] = 3
                if BAD in self.paused:
                    return {GOOD: [kafka_record(b"")] * 3}
            raise CorruptRecordException

        async def committed(consumer: Any, partition: TopicPartition) -> int:
            self.asked += 1
            if self.asked in failing:
                raise KafkaConnectionError
            return 0

        async def position(consumer: Any, partition: TopicPartition) -> int:
            return self.positions[partition]

        async def end_offsets(consumer: Any, partitions: Any) -> Mapping[TopicPartition, int]:
            return dict.fromkeys(partitions, 9)

        async def commit(consumer: Any, offsets: Any) -> None:
            return None

        methods: dict[str, Any] = {
            "__init__": lambda *_, **__: None,
            "__del__": lambda _: None,
            "assignment": lambda _: set(self.positions),
            "paused": lambda _: set(self.paused),
            "pause": lambda _, *partitions: self.paused.update(partitions),
            "resume": lambda *_: None,
            "highwater": lambda *_: None,
            "last_stable_offset": lambda *_: None,
            "seek": lambda _, partition, offset: self.positions.__setitem__(partition, offset),
        }
        methods |= {method.__name__: method for method in (getmany, committed, position, end_offsets, commit)}
        for name, method in methods.items():
            monkeypatch.setattr(AIOKafkaConsumer, name, method)

    def _one_record(self) -> Mapping[TopicPartition, Any]:
        """Before the record that cannot be unpacked there is one; then Kafka cannot be reached."""
        if self.positions[BAD]:
            raise CorruptRecordException if self.reached else KafkaConnectionError
        self.positions[BAD] = 1
        return {BAD: [kafka_record(b"")]}


def consumer() -> PartitionConsumer:
    health, metrics = Health(10), Metrics("memory")
    others: Any = {"inputs": (), "repair": type("NoRepair", (), {"due": (), "records_expired": None}), "kafka": None}
    sizes = {"wait_ms": 0, "max_bytes": 2**20, "largest_value": 2**16}
    holds = Holds("memory", health, metrics)
    return PartitionConsumer(health=health, metrics=metrics, holds=holds, group_id="memory", **sizes, **others)


@pytest.mark.parametrize("failing", [{1}, set()], ids=["rewinding", "looking for the partition at fault"])
async def test_records_of_a_failed_poll_are_read_again_although_kafka_was_not_reached_meanwhile(
    monkeypatch: pytest.MonkeyPatch, failing: set[int]
) -> None:
    partitions = Partitions(monkeypatch, failing)
    polling = consumer()
    with pytest.raises(KafkaConnectionError):
        await polling.getmany(max_records=100)
    monkeypatch.setattr(AIOKafkaConsumer, "getmany", _nothing)
    await polling.getmany(max_records=100)
    assert partitions.positions == {GOOD: 0, BAD: 0}, "the next commit would cover records that nobody has handled"


async def test_a_partition_that_cannot_be_unpacked_does_not_keep_the_others_from_being_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    partitions = Partitions(monkeypatch, set(), reached=True)
    polling = consumer()
    first = await polling.getmany(max_records=100)
    assert {partition: len(records) for partition, records in first.items()} == {BAD: 1}
    partitions.positions[GOOD] = 0
    second = await polling.getmany(max_records=3)
    assert {partition: len(records) for partition, records in second.items()} == {GOOD: 3}


async def _nothing(consumer: Any, *partitions: Any, **options: Any) -> Any:
    return {}
