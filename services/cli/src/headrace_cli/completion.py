"""Waits until everything that is published now is in every store.

The topics are followed level by level. The end offsets of a level are read only when everything that writes to it has
finished: an end that is read earlier would miss records that are not published yet. This is exact, because a worker
commits a record only after it has published everything that follows from it.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from aiokafka import AIOKafkaConsumer
from aiokafka.admin import AIOKafkaAdminClient

from headrace_cli.topic_graph import Reader, installed_listeners, installed_readers, levels, readers_of
from headrace_cli.worker_stores import refresh_stores
from headrace_clients.consumer_groups import Offsets, committed_offsets, open_clients, unread
from headrace_clients.topic_reader import partitions_of
from headrace_worker.settings import CommonSettings

POLL_SECONDS = 0.25


@dataclass(frozen=True, slots=True)
class Missing:
    """How many records of a topic a worker has not committed yet."""

    worker: str
    topic: str
    records: int


class Incomplete(Exception):
    """The time limit has passed. `missing`: what was not committed by then."""

    def __init__(self, missing: Sequence[Missing]) -> None:
        super().__init__("not everything is in every store")
        self.missing = missing


async def until_stored(
    settings: CommonSettings, timeout: float, on_progress: Callable[[Sequence[Missing]], None] = lambda missing: None
) -> None:
    """Returns when everything that is published at the call is in every store and visible to searches.

    `on_progress` gets what is missing after each count. Raises Incomplete after `timeout` seconds.
    """
    await until_committed(settings, levels(settings.topics, settings.model), timeout, on_progress)
    await refresh_stores()


async def until_committed(
    settings: CommonSettings,
    levels: Sequence[frozenset[str]],
    timeout: float,
    on_progress: Callable[[Sequence[Missing]], None],
) -> None:
    """Returns when every reader has committed all that is on the topics of the first level at the call, and all that
    follows from it on the later levels.

    Raises Incomplete after `timeout` seconds.
    """
    deadline = time.monotonic() + timeout
    readers = [*installed_readers(settings), *installed_listeners(settings)]
    async with open_clients(settings.kafka) as (consumer, admin):
        for level in levels:
            level_readers = readers_of(level, readers)
            if not level_readers:
                continue
            topics = frozenset[str]().union(*(reader.topics for reader in level_readers))
            ends: Offsets = await consumer.end_offsets(await partitions_of(settings.kafka, topics))
            while missing := await _missing(consumer, admin, level_readers, ends):
                on_progress(missing)
                if time.monotonic() > deadline:
                    raise Incomplete(missing)
                await asyncio.sleep(POLL_SECONDS)


def missing_records(reader: Reader, starts: Offsets, ends: Offsets, committed: Offsets) -> list[Missing]:
    """The records between a reader's committed offsets and `ends`, by topic."""
    own = {partition: end for partition, end in ends.items() if partition.topic in reader.topics}
    counts = unread(starts, own, committed)
    return [Missing(reader.worker, topic, records) for topic, records in sorted(counts.items()) if records]


async def _missing(
    consumer: AIOKafkaConsumer, admin: AIOKafkaAdminClient, readers: Sequence[Reader], ends: Offsets
) -> list[Missing]:
    starts: Offsets = await consumer.beginning_offsets(list(ends))
    found = []
    for reader in readers:
        found += missing_records(reader, starts, ends, await committed_offsets(admin, reader.group))
    return found
