"""The lag of consumer groups, from Kafka."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Literal

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from headrace_clients.consumer_groups import Offsets, committed_offsets, first_unread, open_clients, unread
from headrace_clients.worker_copies import Member, groups_of
from headrace_worker.settings import CommonSettings, KafkaSettings, WorkerSettings
from headrace_worker.worker import DEAD_LETTERS, Worker, load_worker, rejecting_names, worker_names

Role = Literal["stage", "listener", "letters"]


@dataclass(frozen=True, slots=True)
class ConsumerGroup:
    """The topics that a worker reads with one consumer group, including topics without a committed offset.

    `replay`: its topic of replays, if it has one. `role`: who gets the records: a stage, which publishes receipts of
    them, a listener, or the index of dead letters. `former`: the group whose offsets it takes over at its first start.
    """

    worker: str
    name: str
    topics: frozenset[str]
    replay: str | None = None
    role: Role = "stage"
    former: str | None = None

    @property
    def all_topics(self) -> frozenset[str]:
        """With its topic of replays."""
        return self.topics | {self.replay} if self.replay else self.topics


@dataclass(frozen=True, slots=True)
class GroupLag:
    """`lag`: uncommitted records by topic. `first`: the offset of the first of them by partition. `committed`: the sum
    of the committed offsets of all topics.

    `state`: the state in Kafka, such as Stable, Empty or PreparingRebalance. `members`: the number of running copies.
    `addresses`: of the copies that have announced one that can be reached from here. `copies`: all of them.
    `partitions`: uncommitted records by partition, where there are any.
    """

    state: str
    members: int
    committed: int = 0
    lag: Mapping[str, int] = field(default_factory=dict)
    addresses: Sequence[str] = ()
    first: Offsets = field(default_factory=dict)
    copies: Sequence[Member] = ()
    partitions: Mapping[TopicPartition, int] = field(default_factory=dict)


class GroupReader:
    """Reads the lag of consumer groups. Raises the errors of aiokafka."""

    def __init__(self, consumer: AIOKafkaConsumer, admin: AIOKafkaAdminClient) -> None:
        self._consumer = consumer
        self._admin = admin

    async def read(self, groups: Sequence[ConsumerGroup]) -> dict[str, GroupLag]:
        """The lag by name of the group. Topics that do not exist are ignored."""
        committed = {group.name: await committed_offsets(self._admin, group.name) for group in groups}
        wanted = {topic for group in groups for topic in group.all_topics}
        wanted |= {partition.topic for offsets in committed.values() for partition in offsets}
        partitions = await self._partitions(sorted(wanted))
        starts = await self._consumer.beginning_offsets(partitions) if partitions else {}
        ends = await self._consumer.end_offsets(partitions) if partitions else {}
        members = await groups_of(self._admin, [group.name for group in groups])
        lags = {}
        for group in groups:
            found = members[group.name]
            offsets = committed[group.name]
            read = group.all_topics | {partition.topic for partition in offsets}
            ends_of_group = {partition: end for partition, end in ends.items() if partition.topic in read}
            first = first_unread(starts, ends_of_group, offsets)
            lags[group.name] = GroupLag(
                found.state,
                len(found.members),
                sum(offsets.values()),
                dict(sorted(unread(starts, ends_of_group, offsets).items())),
                [address for address in found.addresses if address],
                first,
                found.members,
                {partition: ends[partition] - begin for partition, begin in first.items()},
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


def installed_groups(
    settings: CommonSettings, settings_of: Callable[[Worker], WorkerSettings] = lambda worker: worker.settings()
) -> list[ConsumerGroup]:
    """The consumer groups of every installed worker; a worker with a listener has two. Imports every worker."""
    groups = []
    for name in worker_names():
        worker = load_worker(name)
        of_worker = settings_of(worker)
        group = worker.group(settings)
        if name == DEAD_LETTERS:
            letters = frozenset({settings.topics.receipts, *map(settings.topics.dead, rejecting_names())})
            groups.append(ConsumerGroup(name, group, letters, role="letters"))
        else:
            inputs = frozenset(worker.inputs(of_worker))
            former = worker.former_group(settings)
            groups.append(ConsumerGroup(name, group, inputs, settings.topics.replay(name), former=former))
        if worker.listener is not None:
            reports = frozenset(worker.listener.inputs(of_worker))
            groups.append(ConsumerGroup(name, worker.listener_group(settings), reports, role="listener"))
    return groups


@asynccontextmanager
async def open_group_reader(settings: KafkaSettings) -> AsyncIterator[GroupReader]:
    """A reader that is connected until the end of the block."""
    async with open_clients(settings) as (consumer, admin):
        yield GroupReader(consumer, admin)
