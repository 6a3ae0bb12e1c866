"""How far each consumer group has come, from Kafka alone."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from headrace_clients.consumer_groups import NO_GROUPS_YET, committed_offsets, open_clients, unread
from headrace_worker.settings import KafkaSettings


@dataclass(frozen=True, slots=True)
class Group:
    """What one worker reads as one consumer group. `topics`: those that it declares, read already or not."""

    worker: str
    name: str
    topics: frozenset[str]


@dataclass(frozen=True, slots=True)
class Reach:
    """`lag`: records not yet committed, by topic. `committed`: records before the committed offsets, of all topics.

    `state`: as Kafka calls it, Stable, Empty, PreparingRebalance and so on. `members`: how many copies run.
    """

    state: str
    members: int
    committed: int = 0
    lag: Mapping[str, int] = field(default_factory=dict)


class GroupReader:
    """Looks at consumer groups. It raises what aiokafka raises."""

    def __init__(self, consumer: AIOKafkaConsumer, admin: AIOKafkaAdminClient) -> None:
        self._consumer = consumer
        self._admin = admin

    async def look(self, groups: Sequence[Group]) -> dict[str, Reach]:
        """By the group's name. A topic that does not exist counts for nothing."""
        committed = {group.name: await committed_offsets(self._admin, group.name) for group in groups}
        wanted = {topic for group in groups for topic in group.topics}
        wanted |= {partition.topic for offsets in committed.values() for partition in offsets}
        partitions = await self._partitions(sorted(wanted))
        starts = await self._consumer.beginning_offsets(partitions) if partitions else {}
        ends = await self._consumer.end_offsets(partitions) if partitions else {}
        reaches = {}
        for group in groups:
            state, members = await self._state(group.name)
            offsets = committed[group.name]
            read = group.topics | {partition.topic for partition in offsets}
            lag = unread(
                starts, {partition: end for partition, end in ends.items() if partition.topic in read}, offsets
            )
            reaches[group.name] = Reach(state, members, sum(offsets.values()), dict(sorted(lag.items())))
        return reaches

    async def _partitions(self, topics: list[str]) -> list[TopicPartition]:
        described = await self._admin.describe_topics(topics) if topics else []
        return [
            TopicPartition(topic["topic"], part["partition"])
            for topic in described
            if not topic["error_code"]
            for part in topic["partitions"]
        ]

    async def _state(self, group: str) -> tuple[str, int]:
        try:
            (answer,) = await self._admin.describe_consumer_groups([group])
        except NO_GROUPS_YET:
            return "Dead", 0
        (described,) = answer.groups
        return described[2], len(described[5])


@asynccontextmanager
async def open_groups(settings: KafkaSettings) -> AsyncIterator[GroupReader]:
    """Connected until the end of the block."""
    async with open_clients(settings) as (consumer, admin):
        yield GroupReader(consumer, admin)
