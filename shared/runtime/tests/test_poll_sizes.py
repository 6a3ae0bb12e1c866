"""A poll is bounded by the bytes of its values, and small values fill it whatever the limit of one record is."""

from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from harness.kafka_record import TOPIC, kafka_record

from headrace_runtime.consumer import PartitionConsumer
from headrace_runtime.health import Health
from headrace_runtime.holds import Holds
from headrace_runtime.metrics import Metrics

MIB = 2**20
SMALL, LARGE = 1000, 3 * MIB


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

    methods: dict[str, Any] = {"__init__": init, "getmany": getmany, "assignment": lambda _: frozenset()}
    for name, method in (methods | {"__del__": lambda _: None}).items():
        monkeypatch.setattr(AIOKafkaConsumer, name, method)
    health, metrics = Health(10), Metrics("memory")
    no_repair: Any = type("NoRepair", (), {"due": (), "records_expired": None})
    options: dict[str, Any] = {"inputs": (), "repair": no_repair, "kafka": None, "group_id": "memory", "wait_ms": 0}
    limits = {"max_bytes": 4 * MIB, "largest_value": largest_value}
    holds = Holds("memory", health, metrics)
    consumer = PartitionConsumer(health=health, metrics=metrics, holds=holds, **limits, **options)
    records = await consumer.getmany(max_records=4000)
    assert sum(map(len, records.values())) == polled
