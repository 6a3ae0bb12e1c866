"""A poll is bounded by the bytes of its values, and small values fill it whatever the limit of one record is."""

from collections.abc import Iterable
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from harness.kafka_record import TOPIC, kafka_record

from headrace_runtime.consumer import BULK_RECORDS, PartitionConsumer
from headrace_runtime.health import Health
from headrace_runtime.holds import Holds
from headrace_runtime.metrics import Metrics

MIB = 2**20
SMALL, LARGE = 1000, 3 * MIB


async def unknown(consumer: Any, partition: TopicPartition) -> int:
    """The position of a partition before Kafka has said it."""
    raise TimeoutError


def consumer_of(
    monkeypatch: pytest.MonkeyPatch,
    getmany: Any,
    assigned: Iterable[TopicPartition] = (),
    init: Any = lambda consumer, **options: None,
    **own: Any,
) -> PartitionConsumer:
    """A consumer without Kafka. `getmany`, `init`: of aiokafka's consumer."""
    assignment = frozenset(assigned)
    methods: dict[str, Any] = {"__init__": init, "getmany": getmany, "assignment": lambda _: assignment}
    methods |= {"__del__": lambda _: None, "position": unknown}
    for name, method in methods.items():
        monkeypatch.setattr(AIOKafkaConsumer, name, method)
    health, metrics = Health(10), Metrics("memory")
    no_repair: Any = type("NoRepair", (), {"due": (), "records_expired": None})
    options: dict[str, Any] = {"inputs": (), "repair": no_repair, "kafka": None, "group_id": "memory", "wait_ms": 0}
    options |= {"max_bytes": 4 * MIB, "largest_value": MIB}
    holds = Holds("memory", health, metrics)
    return PartitionConsumer(health=health, metrics=metrics, holds=holds, **options | own)


@pytest.mark.parametrize(
    ("largest_value", "sizes", "polled"),
    [
        (MIB, [SMALL] * 50, 50),
        (4 * MIB, [SMALL] * 50, 50),
        (16 * MIB, [SMALL] * 50, 50),
        (16 * MIB, [SMALL, LARGE, SMALL, LARGE, SMALL], 2),
        (MIB, [MIB] * 9, 4),
    ],
)
async def test_a_poll_ends_at_its_bytes_and_not_before(
    monkeypatch: pytest.MonkeyPatch, largest_value: int, sizes: list[int], polled: int
) -> None:
    unpack: dict[str, Any] = {}
    left = list(sizes)

    def init(consumer: Any, *, value_deserializer: Any, **options: Any) -> None:
        unpack["value"] = value_deserializer

    async def getmany(consumer: Any, *, max_records: int, **options: Any) -> Any:
        taken = [kafka_record(unpack["value"](b"x" * left.pop(0))) for _ in range(min(max_records, len(left)))]
        return {TopicPartition(TOPIC, 0): taken} if taken else {}

    limits = {"max_bytes": 4 * MIB, "largest_value": largest_value}
    consumer = consumer_of(monkeypatch, getmany, init=init, **limits)
    records = await consumer.getmany(max_records=4000)
    assert sum(map(len, records.values())) == polled


@pytest.mark.parametrize(
    ("first", "bulk", "most", "polled"),
    [
        (0, 1000, 512, (0, BULK_RECORDS)),
        (5, 1000, 512, (5, BULK_RECORDS)),
        (1000, 1000, 512, (512 - BULK_RECORDS, BULK_RECORDS)),
        (1000, 0, 512, (512 - BULK_RECORDS, 0)),
        (1000, 1000, 10, (5, 5)),
        (0, 1000, 1, (0, 1)),
        (1, 0, 1, (1, 0)),
    ],
)
async def test_records_in_bulk_give_way_to_the_others_and_neither_waits_for_ever(
    monkeypatch: pytest.MonkeyPatch, first: int, bulk: int, most: int, polled: tuple[int, int]
) -> None:
    waiting = {TopicPartition(TOPIC, 0): first, TopicPartition("bulk", 0): bulk}

    async def getmany(consumer: Any, *partitions: TopicPartition, max_records: int, timeout_ms: int) -> Any:
        taken = {}
        # A large backlog is fetched first.
        for partition in sorted(partitions or waiting, key=lambda one: -waiting[one]):
            count = min(waiting[partition], max_records - sum(map(len, taken.values())))
            waiting[partition] -= count
            taken |= {partition: [kafka_record(b"x")] * count} if count else {}
        return taken

    consumer = consumer_of(monkeypatch, getmany, waiting.keys(), in_bulk=["bulk"])
    monkeypatch.setattr(Health, "poll_size", lambda health, records: records)
    records = await consumer.getmany(max_records=most)
    assert [len(records.get(partition, ())) for partition in waiting] == list(polled)
    assert [partition.topic for partition in records] in ([TOPIC, "bulk"], [TOPIC], ["bulk"])
