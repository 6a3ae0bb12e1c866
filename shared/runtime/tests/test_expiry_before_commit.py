"""Nothing is committed after a rebalance before the worker knows whether records expired: a commit hides it."""

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from headrace_runtime.consumer import PartitionConsumer
from headrace_runtime.health import Health
from headrace_runtime.holds import Holds
from headrace_runtime.metrics import Metrics

PARTITION = TopicPartition("products", 0)
FIRST_LEFT = 100


class Broker:
    """A group has committed 50, and the records before `FIRST_LEFT` have expired."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.committed = 50
        self.answers = asyncio.Event()
        self.listener: Any = None
        self.due: list[str] = []

        def subscribe(consumer: Any, topics: Any, pattern: Any, listener: Any) -> None:
            self.listener = listener

        async def beginning_offsets(consumer: Any, partitions: Any) -> Mapping[TopicPartition, int]:
            await self.answers.wait()
            return {PARTITION: FIRST_LEFT}

        async def committed(consumer: Any, partition: TopicPartition) -> int:
            return self.committed

        async def commit(consumer: Any, offsets: Any) -> None:
            self.committed = FIRST_LEFT

        async def position(consumer: Any, partition: TopicPartition) -> int:
            return FIRST_LEFT

        methods: dict[str, Any] = {
            "__init__": lambda *_, **__: None,
            "__del__": lambda _: None,
            "assignment": lambda _: {PARTITION},
        }
        methods |= {one.__name__: one for one in (subscribe, beginning_offsets, committed, commit, position)}
        for name, method in methods.items():
            monkeypatch.setattr(AIOKafkaConsumer, name, method)


@pytest.mark.parametrize("acknowledged", [True, False])
async def test_a_commit_waits_until_expired_records_are_known_and_what_they_ask_for_is_published(
    monkeypatch: pytest.MonkeyPatch, acknowledged: bool
) -> None:
    class Repair:
        due: tuple[str, ...] = ()

        async def records_expired(self, first_left: Mapping[TopicPartition, int]) -> None:
            assert first_left == {PARTITION: FIRST_LEFT}
            self.due = () if acknowledged else ("a sweep",)

    broker, health, metrics = Broker(monkeypatch), Health(10), Metrics("memory")
    options: dict[str, Any] = {"inputs": (), "repair": Repair(), "kafka": None, "group_id": "memory"}
    sizes = {"wait_ms": 0, "max_bytes": 2**20, "largest_value": 2**16}
    holds = Holds("memory", health, metrics)
    consumer = PartitionConsumer(health=health, metrics=metrics, holds=holds, **sizes, **options)
    consumer.subscribe(["products"])
    assigning = asyncio.create_task(broker.listener.on_partitions_assigned({PARTITION}))
    await asyncio.sleep(0)
    committing = asyncio.create_task(consumer.commit())
    await asyncio.wait([committing], timeout=0.05)
    assert broker.committed == 50
    broker.answers.set()
    await asyncio.gather(assigning, committing)
    assert health.expired == FIRST_LEFT - 50
    assert broker.committed == (FIRST_LEFT if acknowledged else 50)
