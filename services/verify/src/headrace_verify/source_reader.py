"""Reads the topics up to pinned ends, and on from there."""

from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from headrace_clients.kafka import consumer_options
from headrace_clients.kafka_offsets import closed
from headrace_clients.topic_reader import UnknownTopic, partitions_of
from headrace_worker.settings import KafkaSettings
from headrace_worker.stage import Unavailable

POLL_MS = 200
POLL_RECORDS = 2000

Ends = Mapping[TopicPartition, int]


class SourceReader:
    """All partitions of some topics. What one call has read no later one reads again. Raises Unavailable."""

    def __init__(self, consumer: AIOKafkaConsumer, partitions: Sequence[TopicPartition]) -> None:
        self._consumer = consumer
        self._partitions = partitions

    async def ends(self) -> Ends:
        """The ends as of now: the last stable offsets."""
        try:
            return dict(await self._consumer.end_offsets(self._partitions))
        except (KafkaError, OSError) as error:
            raise _unreadable(error) from error

    async def records(self, ends: Ends, on_read: Callable[[int], None] = lambda read: None) -> AsyncIterator[list[Any]]:
        """The records below these ends, in order within a partition, a poll at a time."""
        try:
            while True:
                open_ends = [one for one in ends if await self._consumer.position(one) < ends[one]]
                if not open_ends:
                    return
                polled = await self._consumer.getmany(*open_ends, timeout_ms=POLL_MS, max_records=POLL_RECORDS)
                for partition in open_ends:
                    # The next call must read the records that were polled beyond the end.
                    if await self._consumer.position(partition) > ends[partition]:
                        self._consumer.seek(partition, ends[partition])
                found = [one for part, records in polled.items() for one in records if one.offset < ends[part]]
                on_read(len(found))
                yield found
        except (KafkaError, OSError) as error:
            raise _unreadable(error) from error

    async def left(self, ends: Ends) -> int:
        """The number of offsets up to these ends."""
        try:
            return sum([max(0, end - await self._consumer.position(one)) for one, end in ends.items()])
        except (KafkaError, OSError) as error:
            raise _unreadable(error) from error


@asynccontextmanager
async def open_source(settings: KafkaSettings, topics: Iterable[str]) -> AsyncIterator[SourceReader]:
    """A reader from the first record that is left. Raises Unavailable, also if a topic does not exist."""
    consumer = AIOKafkaConsumer(
        **consumer_options(settings),
        auto_offset_reset="earliest",
        max_partition_fetch_bytes=2 * settings.max_record_bytes,
    )
    try:
        partitions = await partitions_of(settings, topics)
        consumer.assign(partitions)
        await consumer.start()
        yield SourceReader(consumer, partitions)
    except UnknownTopic as error:
        raise Unavailable("kafka", str(error)) from error
    except (KafkaError, OSError) as error:
        raise _unreadable(error) from error
    finally:
        await closed(consumer.stop())


def _unreadable(error: Exception) -> Unavailable:
    return Unavailable("kafka", f"the topics cannot be read: {type(error).__name__}", kind="unreachable")
