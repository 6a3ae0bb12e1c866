"""Waits until the readers have committed all records that are published now, and those that follow from them.

The topics are followed level by level. The end offsets of a level are read only when everything that writes to it has
finished: an end that is read earlier would miss records that are not published yet. This is exact, because a worker
commits a record only after it has published everything that follows from it. The records of an open transaction are
published too: nobody knows what becomes of them before its producer ends it.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass

from headrace_clients.consumer_groups import Offsets, unread
from headrace_clients.group_lag import ConsumerGroup, installed_groups
from headrace_clients.kafka_offsets import KafkaOffsets, KafkaSilent, open_offsets
from headrace_clients.topic_graph import readers_of
from headrace_worker.settings import CommonSettings

POLL_SECONDS = 0.25

OnPinned = Callable[[Sequence[ConsumerGroup], Offsets], None]
"""Gets the readers of a level and the ends up to which they have to commit."""


@dataclass(frozen=True, slots=True)
class Missing:
    """How many records of a topic a worker has not committed yet, counted by their offsets."""

    worker: str
    topic: str
    records: int


class Incomplete(Exception):
    """The time limit has passed. `missing`: what is not committed yet. `kafka`: set if Kafka does not answer."""

    def __init__(self, missing: Sequence[Missing], kafka: KafkaSilent | None = None) -> None:
        super().__init__("not everything is in every store")
        self.missing = missing
        self.kafka = kafka


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
    readers = [group for group in installed_groups(settings) if group.role != "letters"]
    deadline = time.monotonic() + timeout
    async with open_offsets(settings.kafka, deadline) as offsets:
        async for missing in uncommitted(offsets, readers, levels, deadline):
            on_progress(missing)


async def uncommitted(
    offsets: KafkaOffsets,
    readers: Sequence[ConsumerGroup],
    levels: Sequence[frozenset[str]],
    deadline: float,
    on_pinned: OnPinned = lambda readers, ends: None,
) -> AsyncIterator[Sequence[Missing]]:
    """What is missing, each time that it was counted, until nothing is. Raises Incomplete after `deadline`, which is
    in seconds, monotonic.
    """
    missing: Sequence[Missing] = ()
    try:
        for level in levels:
            level_readers = readers_of(level, readers)
            if not level_readers:
                continue
            topics = frozenset[str]().union(*(reader.topics for reader in level_readers))
            ends = await offsets.published(await offsets.partitions(topics))
            on_pinned(level_readers, ends)
            while missing := await _missing(offsets, level_readers, ends):
                yield missing
                if time.monotonic() > deadline:
                    raise Incomplete(missing)
                await asyncio.sleep(POLL_SECONDS)
    except KafkaSilent as silent:
        raise Incomplete(missing, silent) from silent


def missing_records(reader: ConsumerGroup, starts: Offsets, ends: Offsets, committed: Offsets) -> list[Missing]:
    """The records between a reader's committed offsets and `ends`, by topic."""
    own = {partition: end for partition, end in ends.items() if partition.topic in reader.topics}
    counts = unread(starts, own, committed)
    return [Missing(reader.worker, topic, records) for topic, records in sorted(counts.items()) if records]


async def _missing(offsets: KafkaOffsets, readers: Sequence[ConsumerGroup], ends: Offsets) -> list[Missing]:
    starts = await offsets.starts(list(ends))
    found = []
    for reader in readers:
        found += missing_records(reader, starts, ends, await offsets.committed(reader.name))
    return found
