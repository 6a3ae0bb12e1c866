"""A topic is released when the records that hold it are gone, or when another copy of the worker reads them."""

from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from harness.kafka_record import TOPIC, kafka_record

from headrace_runtime.consumer import PartitionConsumer
from headrace_runtime.health import Health
from headrace_runtime.holds import Cause, Holds
from headrace_runtime.metrics import Metrics

FIRST, SECOND = TopicPartition(TOPIC, 0), TopicPartition(TOPIC, 1)
OFFSET = 7


@pytest.mark.parametrize(
    ("positions", "held"),
    [
        ({FIRST: OFFSET, SECOND: 3}, True),
        ({FIRST: OFFSET + 1, SECOND: 3}, False),
        ({SECOND: 3}, False),
        ({}, True),  # during a rebalance
    ],
    ids=["waiting", "expired", "at another copy", "unassigned"],
)
async def test_a_hold_ends_with_the_records_that_caused_it(
    monkeypatch: pytest.MonkeyPatch, positions: dict[TopicPartition, int], held: bool
) -> None:
    async def getmany(consumer: Any, **options: Any) -> Any:
        return {}

    async def position(consumer: Any, partition: TopicPartition) -> int:
        return positions[partition]

    async def commit(consumer: Any, offsets: Any) -> None:
        return None

    methods: dict[str, Any] = {
        "__init__": lambda *_, **__: None,
        "assignment": lambda _: frozenset(positions),
        "paused": lambda _: frozenset(),
    }
    methods |= {
        name: lambda *_: None for name in ("__del__", "pause", "resume", "seek", "highwater", "last_stable_offset")
    }
    methods |= {method.__name__: method for method in (getmany, position, commit)}
    for name, method in methods.items():
        monkeypatch.setattr(AIOKafkaConsumer, name, method)
    health, metrics = Health(10), Metrics("memory")
    holds = Holds("memory", health, metrics)
    holds.hold(TOPIC, Cause("newer"), [kafka_record(b"", partition=0, offset=OFFSET)])
    no_repair: Any = type("NoRepair", (), {"due": (), "records_expired": None})
    options: dict[str, Any] = {"inputs": (), "repair": no_repair, "kafka": None, "group_id": "memory"}
    sizes = {"wait_ms": 0, "max_bytes": 2**20, "largest_value": 2**16}
    consumer = PartitionConsumer(health=health, metrics=metrics, holds=holds, **sizes, **options)
    await consumer.getmany(max_records=10)
    assert (TOPIC in holds.causes) is held
