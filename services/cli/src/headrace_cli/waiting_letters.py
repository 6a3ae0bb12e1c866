"""How many dead letters wait in all: from their index, or from the topics if the index does not answer."""

import asyncio
import time
from collections.abc import Iterable
from dataclasses import dataclass

from headrace_clients.consumer_groups import Offsets, unread
from headrace_clients.kafka_offsets import KafkaOffsets
from headrace_letters.index import open_index
from headrace_letters.index_settings import IndexSettings
from headrace_letters.selection import EVERYTHING
from headrace_worker.stage import Unavailable
from headrace_worker.worker import DEAD_LETTERS

CATCH_UP_SECONDS = 3.0
"""The time that the index has to read the newest dead letters."""
PAUSE_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class WaitingLetters:
    """`waiting`: None if the index does not answer; then `problem` says why. `on_topics`: all dead letters that their
    topics have, settled or not. `unread`: those that the index has not read yet.
    """

    waiting: int | None
    on_topics: int
    unread: int
    problem: str = ""

    @property
    def line(self) -> str:
        """One sentence for a person."""
        if self.waiting is None:
            topics = f"{_letters(self.on_topics)} on the dead-letter topics"
            return f"How many dead letters wait in all is not known ({self.problem}); there are {topics}."
        later = f" The index has not read {_letters(self.unread)} more yet." if self.unread else ""
        verb = "waits" if self.waiting == 1 else "wait"
        return f"{_letters(self.waiting)} {verb} in all.{later}"


async def waiting_letters(settings: IndexSettings, offsets: KafkaOffsets, workers: Iterable[str]) -> WaitingLetters:
    """`workers`: those that write dead letters. Raises what aiokafka raises, and KafkaSilent."""
    partitions = await offsets.partitions(settings.topics.dead(worker) for worker in workers)
    starts, ends = await offsets.starts(partitions), await offsets.ends(partitions)
    on_topics = sum(end - starts[partition] for partition, end in ends.items())
    unread_by_index = await _unread(settings, offsets, starts, ends)
    if unread_by_index and unread_by_index == on_topics:
        return WaitingLetters(None, on_topics, on_topics, f"the worker {DEAD_LETTERS} has not read them")
    try:
        async with open_index(settings) as index:
            counts = await index.count(EVERYTHING)
    except (Unavailable, ValueError) as error:
        return WaitingLetters(None, on_topics, unread_by_index, str(error).partition("\n")[0])
    return WaitingLetters(counts.get("waiting", 0), on_topics, unread_by_index)


async def _unread(settings: IndexSettings, offsets: KafkaOffsets, starts: Offsets, ends: Offsets) -> int:
    deadline = time.monotonic() + CATCH_UP_SECONDS
    while True:
        committed = await offsets.committed(f"{settings.topic_prefix}{DEAD_LETTERS}")
        left = sum(unread(starts, ends, committed).values())
        # If its worker does not run, the index reads no more letters.
        if not left or not committed or time.monotonic() > deadline:
            return left
        await asyncio.sleep(PAUSE_SECONDS)


def _letters(number: int) -> str:
    return f"{number:,} dead letter" + ("" if number == 1 else "s")
