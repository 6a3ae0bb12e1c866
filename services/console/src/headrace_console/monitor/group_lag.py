"""The lag of consumer groups, from Kafka."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from headrace_clients.consumer_groups import committed_offsets, open_clients, unread
from headrace_clients.worker_copies import groups_of
from headrace_worker.settings import KafkaSettings


@dataclass(frozen=True, slots=True)
class ConsumerGroup:
    """The topics that a worker reads with one consumer group, including topics without a committed offset."""

    worker: str
    name: str
    topics: frozenset[str]


@dataclass(frozen=True, slots=True)
class GroupLag:
    """`lag`: uncommitted records by topic. `committed`: the sum of the committed offsets of all topics.

    `state`: the state in Kafka, such as Stable, Empty or PreparingRebalance. `members`: the number of running copies.
    `addresses`: of the copies that have announced one that can be reached from here.
    """

    state: str
    members: int
    committed: int = 0
    lag: Mapping[str, int] = field(default_factory=dict)
    addresses: Sequence[str] = ()


class GroupReader:
    """Reads the lag of consumer groups. Raises the errors of aiokafka."""

    def __init__(self, consumer: AIOKafkaConsumer, admin: AIOKafkaAdminClient) -> None:
        self._consumer = consumer
        self._admin = admin

    async def read(self, groups: Sequence[ConsumerGroup]) -> dict[str, GroupLag]:
        """The lag by name of the group. Topics that do not exist are ignored."""
        committed = {group.name: await committed_offsets(self._admin, group.name) for group in groups}
        wanted = {topic for group in groups for topic in group.topics}
        wanted |= {partition.topic for offsets in committed.values() for partition in offsets}
        partitions = await self._partitions(sorted(wanted))
        starts = await self._consumer.beginning_offsets(partitions) if partitions else {}
        ends = await self._consumer.end_offsets(partitions) if partitions else {}
        members = await groups_of(self._admin, [group.name for group in groups])
        lags = {}
        for group in groups:
            found = members[group.name]
            offsets = committed[group.name]
            read = group.topics | {partition.topic for partition in offsets}
            lag = unread(
                starts, {partition: end for partition, end in ends.items() if partition.topic in read}, offsets
            )
            lags[group.name] = GroupLag(
                found.state,
                len(found.addresses),
                sum(offsets.values()),
                dict(sorted(lag.items())),
                [address for address in found.addresses if address],
            )
        return lags

    async def _partitions(self, topics: list[str]) -> list[TopicPartition]:
        described = await self._admin.describe_topics(topics) if topics else []
        return [
            TopicPartition(topic["topic"], part["partition"])
            for topic in described
            if not topic["error_code"]
            for part in topic["partitions"]
        ]


@asynccontextmanager
async def open_group_reader(settings: KafkaSettings) -> AsyncIterator[GroupReader]:
    """A reader that is connected until the end of the block."""
    async with open_clients(settings) as (consumer, admin):
        yield GroupReader(consumer, admin)
