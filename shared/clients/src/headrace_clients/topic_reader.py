"""Reads topics, or their ends, without a consumer group, for commands that change nothing."""

from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from headrace_clients.kafka import client_options, consumer_options
from headrace_worker.settings import KafkaSettings

POLL_MS = 200

Ends = dict[TopicPartition, int]


class UnknownTopic(Exception):
    """There is no such topic: `headrace topics apply` has not been run."""


class TopicReader:
    """All partitions of some topics, from the first record that retention has not removed."""

    def __init__(self, consumer: AIOKafkaConsumer, partitions: Sequence[TopicPartition]) -> None:
        self._consumer = consumer
        self._partitions = partitions

    async def poll(self, timeout_ms: int = POLL_MS) -> list[Any]:
        """The next records, in order within a partition; [] if there is none in time."""
        polled: Mapping[TopicPartition, list[Any]] = await self._consumer.getmany(timeout_ms=timeout_ms)
        return [record for records in polled.values() for record in records]

    async def left(self) -> int:
        """The number of offsets from the reader's position to the end of the topics."""
        ends: Ends = await self._consumer.end_offsets(self._partitions)
        return sum([end - await self._consumer.position(partition) for partition, end in ends.items()])

    async def until_now(self) -> AsyncIterator[Any]:
        """Every record up to the end of the topics at the time of the call that was not returned before. The next call
        returns later records.
        """
        ends: Ends = await self._consumer.end_offsets(self._partitions)
        open_ends = {partition for partition in ends if not await self._reached(partition, ends)}
        while open_ends:
            polled = await self.poll()
            for partition, end in ends.items():
                # The next call must read the records that were polled beyond the end.
                if await self._consumer.position(partition) > end:
                    self._consumer.seek(partition, end)
            for record in polled:
                if record.offset < ends[TopicPartition(record.topic, record.partition)]:
                    yield record
            open_ends = {partition for partition in open_ends if not await self._reached(partition, ends)}

    async def _reached(self, partition: TopicPartition, ends: Ends) -> bool:
        return bool(await self._consumer.position(partition) >= ends[partition])


@asynccontextmanager
async def open_topics(settings: KafkaSettings, topics: Iterable[str]) -> AsyncIterator[TopicReader]:
    """A reader of these topics. Raises UnknownTopic if one of them does not exist."""
    partitions = await partitions_of(settings, topics)
    consumer = AIOKafkaConsumer(
        **consumer_options(settings),
        auto_offset_reset="earliest",
        max_partition_fetch_bytes=2 * settings.max_record_bytes,
    )
    consumer.assign(partitions)
    try:
        await consumer.start()
        yield TopicReader(consumer, partitions)
    finally:
        await consumer.stop()


class TopicTail:
    """The last records of each partition, up to the end of the topic when it was opened. `whole`: they are all."""

    def __init__(self, consumer: AIOKafkaConsumer, ends: Ends, whole: bool) -> None:
        self._consumer = consumer
        self._ends = ends
        self.whole = whole

    async def polls(self) -> AsyncIterator[list[Any]]:
        """The records of each poll, [] if there is none in time, until all are read; a few later ones may follow."""
        left = await self._left(self._ends)
        while left:
            polled: Mapping[TopicPartition, list[Any]] = await self._consumer.getmany(*left, timeout_ms=POLL_MS)
            left = await self._left(left)
            yield [record for records in polled.values() for record in records]

    async def complete(self) -> bool:
        """Whether all of them are read."""
        return not await self._left(self._ends)

    async def _left(self, partitions: Iterable[TopicPartition]) -> list[TopicPartition]:
        return [one for one in partitions if await self._consumer.position(one) < self._ends[one]]


@asynccontextmanager
async def open_tail(settings: KafkaSettings, topic: str, records: int) -> AsyncIterator[TopicTail]:
    """A reader of the last `records` of each partition. Raises UnknownTopic if there is no such topic."""
    partitions = await partitions_of(settings, [topic])
    async with _open_up_to_now(settings, partitions, lambda one, end: end - records) as tail:
        yield tail


@asynccontextmanager
async def open_rest(settings: KafkaSettings, first: Mapping[TopicPartition, int]) -> AsyncIterator[TopicTail]:
    """A reader of these partitions from these offsets on, up to their ends now."""
    async with _open_up_to_now(settings, list(first), lambda one, end: first[one]) as rest:
        yield rest


@asynccontextmanager
async def _open_up_to_now(
    settings: KafkaSettings, partitions: list[TopicPartition], begin_of: Callable[[TopicPartition, int], int]
) -> AsyncIterator[TopicTail]:
    """`begin_of`: the offset to read a partition from, by its end; at the earliest its start."""
    consumer = AIOKafkaConsumer(**consumer_options(settings))
    consumer.assign(partitions)
    try:
        await consumer.start()
        starts: Ends = await consumer.beginning_offsets(partitions)
        ends: Ends = await consumer.end_offsets(partitions)
        begins = {one: max(starts[one], begin_of(one, ends[one])) for one in partitions}
        for partition, begin in begins.items():
            consumer.seek(partition, begin)
        yield TopicTail(consumer, ends, begins == starts)
    finally:
        await consumer.stop()


async def partitions_of(settings: KafkaSettings, topics: Iterable[str]) -> list[TopicPartition]:
    """Every partition of the topics. Raises UnknownTopic if one of them does not exist."""
    admin = AIOKafkaAdminClient(**client_options(settings))
    await admin.start()
    try:
        described = await admin.describe_topics(list(topics))
    finally:
        await admin.close()
    for topic in described:
        if topic["error_code"]:
            raise UnknownTopic(f"there is no topic {topic['topic']}: create it with `headrace topics apply`")
    return [TopicPartition(topic["topic"], part["partition"]) for topic in described for part in topic["partitions"]]
