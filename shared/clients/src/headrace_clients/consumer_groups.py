"""The progress of consumer groups and the transactions in front of them, read from Kafka."""

from collections.abc import AsyncIterator, Collection, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import CoordinatorNotAvailableError, NotCoordinatorError

from headrace_clients.kafka import client_options, consumer_options
from headrace_clients.topic_reader import partitions_of
from headrace_worker.settings import KafkaSettings

NO_GROUPS_YET = (CoordinatorNotAvailableError, NotCoordinatorError)
"""The errors of a broker that has never had a consumer group: there is no coordinator yet."""
UNCOMMITTED = "read_uncommitted"

Offsets = Mapping[TopicPartition, int]


@dataclass(frozen=True, slots=True)
class OpenTransaction:
    """A partition with a transaction that its producer has neither committed nor aborted.

    `records`: how many records wait for its end: all from its first one on, also those of other producers. No consumer
    gets them, and no lag counts them.
    """

    topic: str
    partition: int
    records: int


async def committed_offsets(admin: AIOKafkaAdminClient, group: str) -> dict[TopicPartition, int]:
    """The next offset that the group will read of each partition that it has committed. Raises what aiokafka raises."""
    try:
        answer = await admin.list_consumer_group_offsets(group)
    except NO_GROUPS_YET:
        return {}
    return {partition: stored.offset for partition, stored in answer.items() if stored.offset >= 0}


def unread(starts: Offsets, ends: Offsets, committed: Offsets) -> dict[str, int]:
    """The number of records, by topic, between the committed offsets and `ends`.

    Records that retention has removed do not count. A partition without a committed offset is unread from its start.
    """
    counts = {partition.topic: 0 for partition in ends}
    for partition, begin in first_unread(starts, ends, committed).items():
        counts[partition.topic] += ends[partition] - begin
    return counts


def first_unread(starts: Offsets, ends: Offsets, committed: Offsets) -> dict[TopicPartition, int]:
    """The offset of the first of these records in each partition that has any."""
    first = {}
    for partition, end in ends.items():
        begin = max(starts.get(partition, 0), committed.get(partition, 0))
        if begin < end:
            first[partition] = begin
    return first


async def published_ends(settings: KafkaSettings, partitions: Collection[TopicPartition]) -> Offsets:
    """The end of each partition, also of what lies behind an open transaction. Raises what aiokafka raises."""
    async with _open_consumer(settings, isolation_level=UNCOMMITTED) as consumer:
        return dict(await consumer.end_offsets(partitions))


async def open_transactions(settings: KafkaSettings, topics: Iterable[str]) -> list[OpenTransaction]:
    """The open transactions on these topics. Raises UnknownTopic and what aiokafka raises."""
    partitions = await partitions_of(settings, topics)
    async with _open_consumer(settings) as committed:
        # In this order: a record that is published between the two requests does not look like an open transaction.
        ends = await published_ends(settings, partitions)
        stable: Offsets = await committed.end_offsets(partitions)
    return [
        OpenTransaction(partition.topic, partition.partition, end - stable[partition])
        for partition, end in sorted(ends.items())
        if end > stable[partition]
    ]


@asynccontextmanager
async def open_clients(settings: KafkaSettings) -> AsyncIterator[tuple[AIOKafkaConsumer, AIOKafkaAdminClient]]:
    """A consumer without a group, for the start and end of topics, and an admin client, for committed offsets. The end
    is the last stable offset: what lies behind an open transaction cannot be read yet.
    """
    admin = AIOKafkaAdminClient(**client_options(settings))
    try:
        await admin.start()
        async with _open_consumer(settings) as consumer:
            yield consumer, admin
    finally:
        await admin.close()


@asynccontextmanager
async def _open_consumer(settings: KafkaSettings, **options: Any) -> AsyncIterator[AIOKafkaConsumer]:
    consumer = AIOKafkaConsumer(**consumer_options(settings) | options)
    try:
        await consumer.start()
        yield consumer
    finally:
        await consumer.stop()
