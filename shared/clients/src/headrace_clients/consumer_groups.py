"""The progress of consumer groups, read from Kafka."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import CoordinatorNotAvailableError, NotCoordinatorError

from headrace_clients.kafka import client_options
from headrace_worker.settings import KafkaSettings

NO_GROUPS_YET = (CoordinatorNotAvailableError, NotCoordinatorError)
"""The errors of a broker that has never had a consumer group: there is no coordinator yet."""

Offsets = Mapping[TopicPartition, int]


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
    counts: dict[str, int] = {}
    for partition, end in ends.items():
        begin = max(starts.get(partition, 0), committed.get(partition, 0))
        counts[partition.topic] = counts.get(partition.topic, 0) + max(0, end - begin)
    return counts


@asynccontextmanager
async def open_clients(settings: KafkaSettings) -> AsyncIterator[tuple[AIOKafkaConsumer, AIOKafkaAdminClient]]:
    """A consumer without a group, for the start and end of topics, and an admin client, for committed offsets."""
    admin = AIOKafkaAdminClient(**client_options(settings))
    try:
        await admin.start()
        consumer = AIOKafkaConsumer(**client_options(settings), enable_auto_commit=False)
        try:
            await consumer.start()
            yield consumer, admin
        finally:
            await consumer.stop()
    finally:
        await admin.close()
