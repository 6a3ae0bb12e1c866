"""Whether everything published before a moment is in every store: the graph of topics, walked in order.

A topic's end is pinned only when everything that writes to it has been read: pinned earlier, it would miss what was
still on its way. That is exact because every worker commits a record only after all that follows from it is published.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from aiokafka import AIOKafkaConsumer
from aiokafka.admin import AIOKafkaAdminClient

from headrace_cli.installed_stores import refresh_stores
from headrace_cli.topic_graph import Reader, installed_listeners, installed_readers, readers_of, stages
from headrace_clients.consumer_groups import Offsets, committed_offsets, open_clients, unread
from headrace_clients.topic_reader import partitions_of
from headrace_worker.settings import CommonSettings

LOOK_SECONDS = 0.25


@dataclass(frozen=True, slots=True)
class Missing:
    """How many records of a topic a worker has still to settle."""

    worker: str
    topic: str
    records: int


class NotYet(Exception):
    """The time is up. `missing`: what was not settled by then."""

    def __init__(self, missing: Sequence[Missing]) -> None:
        super().__init__("not everything is in every store")
        self.missing = missing


def missing_records(reader: Reader, starts: Offsets, ends: Offsets, committed: Offsets) -> list[Missing]:
    """What lies between a reader's committed offsets and the pinned ends."""
    own = {partition: end for partition, end in ends.items() if partition.topic in reader.topics}
    counts = unread(starts, own, committed)
    return [Missing(reader.worker, topic, records) for topic, records in sorted(counts.items()) if records]


async def wait(
    settings: CommonSettings, timeout: float, look: Callable[[Sequence[Missing]], None] = lambda missing: None
) -> None:
    """Returns when all that is published now is in every store and can be found there.

    `look` is called with what is missing whenever that was counted. Raises NotYet after `timeout` seconds.
    """
    await walk(settings, stages(settings.topics, settings.model), timeout, look)
    await refresh_stores()


async def walk(
    settings: CommonSettings,
    stages: Sequence[frozenset[str]],
    timeout: float,
    look: Callable[[Sequence[Missing]], None],
) -> None:
    """Returns when everything on the topics of the first stage, and all that follows from it on those of the others,
    has been settled by whoever reads it.

    Raises NotYet after `timeout` seconds.
    """
    deadline = time.monotonic() + timeout
    readers = [*installed_readers(settings), *installed_listeners(settings)]
    async with open_clients(settings.kafka) as (consumer, admin):
        for stage in stages:
            there = readers_of(stage, readers)
            if not there:
                continue
            partitions = await partitions_of(settings.kafka, frozenset[str]().union(*(r.topics for r in there)))
            ends: Offsets = await consumer.end_offsets(partitions)
            while missing := await _missing(consumer, admin, there, ends):
                look(missing)
                if time.monotonic() > deadline:
                    raise NotYet(missing)
                await asyncio.sleep(LOOK_SECONDS)


async def _missing(
    consumer: AIOKafkaConsumer, admin: AIOKafkaAdminClient, readers: Sequence[Reader], ends: Offsets
) -> list[Missing]:
    starts: Offsets = await consumer.beginning_offsets(list(ends))
    found = []
    for reader in readers:
        found += missing_records(reader, starts, ends, await committed_offsets(admin, reader.group))
    return found
