"""Kafka's side of a worker's consumers, in memory: it assigns partitions, delivers batches and records commits.

It replaces the methods of aiokafka's consumer that need a broker, and nothing of FastStream or of the product.
"""

import asyncio
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Literal

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from headrace_runtime.kafka_start import KafkaStart
from headrace_runtime.pauses import Pauses

Ended = Literal["committed", "given back"]


class FakeGroup:
    """One consumer group with one consumer. `offsets`: (committed, beginning) of each partition;
    `positions`: the next offset of each assigned partition.
    """

    def __init__(self, consumer: AIOKafkaConsumer) -> None:
        self.consumer = consumer
        self.topics: Collection[str] = ()
        self.pattern: str | None = None
        self.offsets = (0, 0)
        self.positions: dict[TopicPartition, int] = {}
        self.listener: Any = None
        self._batches: asyncio.Queue[Sequence[Any]] = asyncio.Queue()
        self.ended: asyncio.Queue[Ended] = asyncio.Queue()

    async def assign(self, *partitions: TopicPartition, committed: int = 0, start: int = 0) -> None:
        """A rebalance assigns the partitions, whose records before `start` have expired."""
        self.offsets = (committed, start)
        self.positions = dict.fromkeys(partitions, max(committed, start))
        await self.listener.on_partitions_assigned(frozenset(partitions))

    def poll_nothing(self, partition: TopicPartition, position: int) -> None:
        """A poll returns no record, and the position is beyond what is no record, such as a transaction's marker."""
        self.positions[partition] = position
        self._batches.put_nowait(())

    async def deliver(self, *records: Any) -> Ended:
        """A poll returns these records. Returns what the worker does with the batch."""
        await self._batches.put(records)
        async with asyncio.timeout(30):
            return await self.ended.get()

    async def next_batch(self) -> Mapping[TopicPartition, list[Any]]:
        polled: dict[TopicPartition, list[Any]] = {}
        for record in await self._batches.get():
            polled.setdefault(TopicPartition(record.topic, record.partition), []).append(record)
        return polled


class FakeConsumers:
    """The consumer groups of the workers that a test starts, by name."""

    def __init__(self) -> None:
        self.groups: dict[str, FakeGroup] = {}
        self._of_consumer: dict[int, FakeGroup] = {}
        self._started: defaultdict[str, asyncio.Event] = defaultdict(asyncio.Event)

    async def group(self, name: str) -> FakeGroup:
        """The group, once its consumer has started."""
        async with asyncio.timeout(30):
            await self._started[name].wait()
        return self.groups[name]

    def install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Replaces the methods until the test ends."""
        names: dict[int, str] = {}

        def of(consumer: AIOKafkaConsumer) -> FakeGroup:
            return self._of_consumer[id(consumer)]

        def init(consumer: AIOKafkaConsumer, *topics: str, group_id: str, **options: Any) -> None:
            names[id(consumer)] = group_id
            self._of_consumer[id(consumer)] = FakeGroup(consumer)

        def subscribe(consumer: AIOKafkaConsumer, topics: Any, pattern: str | None, listener: Any) -> None:
            group = of(consumer)
            group.topics, group.pattern, group.listener = topics, pattern, listener

        def subscription(consumer: AIOKafkaConsumer) -> frozenset[str]:
            return frozenset(of(consumer).topics)

        async def ready(start: KafkaStart, group: str, topics: Collection[str]) -> None:
            return None

        async def run(pauses: Pauses) -> None:
            return None

        async def start(consumer: AIOKafkaConsumer) -> None:
            self.groups[names[id(consumer)]] = of(consumer)
            self._started[names[id(consumer)]].set()

        async def getmany(consumer: AIOKafkaConsumer, *partitions: Any, **options: Any) -> Any:
            # A batch is one answer: a poll that does not wait finds no more.
            return {} if options["timeout_ms"] == 0 else await of(consumer).next_batch()

        async def commit(consumer: AIOKafkaConsumer, offsets: Any) -> None:
            of(consumer).ended.put_nowait("committed")

        def seek(consumer: AIOKafkaConsumer, partition: TopicPartition, offset: int) -> None:
            of(consumer).ended.put_nowait("given back")

        async def beginning_offsets(consumer: AIOKafkaConsumer, partitions: Sequence[TopicPartition]) -> Any:
            return dict.fromkeys(partitions, of(consumer).offsets[1])

        async def committed(consumer: AIOKafkaConsumer, partition: TopicPartition) -> int:
            return of(consumer).offsets[0]

        async def stop(consumer: AIOKafkaConsumer) -> None:
            self._started.pop(names[id(consumer)], None)

        def assignment(consumer: AIOKafkaConsumer) -> frozenset[TopicPartition]:
            return frozenset(of(consumer).positions)

        async def position(consumer: AIOKafkaConsumer, partition: TopicPartition) -> int:
            return of(consumer).positions[partition]

        def paused(consumer: AIOKafkaConsumer) -> frozenset[TopicPartition]:
            return frozenset()

        def highwater(consumer: AIOKafkaConsumer, partition: TopicPartition) -> None:
            return None

        def no_finalizer(consumer: AIOKafkaConsumer) -> None:
            return None

        for method in (subscribe, start, getmany, commit, seek, beginning_offsets, committed, stop):
            monkeypatch.setattr(AIOKafkaConsumer, method.__name__, method)
        for method in (assignment, position, paused, highwater, subscription):
            monkeypatch.setattr(AIOKafkaConsumer, method.__name__, method)
        monkeypatch.setattr(AIOKafkaConsumer, "last_stable_offset", highwater)
        monkeypatch.setattr(AIOKafkaConsumer, "__init__", init)
        monkeypatch.setattr(KafkaStart, "ready", ready)
        monkeypatch.setattr(Pauses, "run", run)
        monkeypatch.setattr(AIOKafkaConsumer, "__del__", no_finalizer)
