"""The times of the first uncommitted records, read from the topics."""

import time
from collections.abc import AsyncIterator, Mapping, Set
from contextlib import asynccontextmanager

from aiokafka import AIOKafkaConsumer, TopicPartition

from headrace_clients.consumer_groups import Offsets
from headrace_clients.kafka import consumer_options
from headrace_worker.settings import KafkaSettings

READ_WITHIN = 3.0
"""Seconds for the records of one consumer group."""
POLL_MS = 200
Place = tuple[TopicPartition, int]


class OldestRecords:
    """Reads each record once, as long as it is the first uncommitted one of a group. Raises the errors of aiokafka."""

    def __init__(self, consumer: AIOKafkaConsumer) -> None:
        self._consumer = consumer
        self._known: dict[Place, float] = {}

    async def times(self, first: Offsets) -> Mapping[TopicPartition, float]:
        """Seconds since 1970 of the first readable record at each of these offsets or after it, by Kafka's time of the
        record. A partition without an answer in time is missing.
        """
        if wanted := {part: offset for part, offset in first.items() if (part, offset) not in self._known}:
            await self._read(wanted)
        return {part: self._known[part, offset] for part, offset in first.items() if (part, offset) in self._known}

    def keep(self, places: Set[Place]) -> None:
        """Forgets all others."""
        self._known = {place: moment for place, moment in self._known.items() if place in places}

    async def _read(self, wanted: Offsets) -> None:
        left = dict(wanted)
        self._consumer.assign(list(left))
        for partition, offset in left.items():
            self._consumer.seek(partition, offset)
        deadline = time.monotonic() + READ_WITHIN
        while left and time.monotonic() < deadline:
            for partition, records in (await self._consumer.getmany(timeout_ms=POLL_MS)).items():
                if records and partition in left:
                    self._known[partition, left.pop(partition)] = records[0].timestamp / 1000
                    self._consumer.pause(partition)
        self._consumer.unsubscribe()


@asynccontextmanager
async def open_oldest_records(settings: KafkaSettings) -> AsyncIterator[OldestRecords]:
    """A reader that is connected until the end of the block. A broker answers with one batch at a time."""
    consumer = AIOKafkaConsumer(**consumer_options(settings), max_partition_fetch_bytes=1, auto_offset_reset="earliest")
    try:
        await consumer.start()
        yield OldestRecords(consumer)
    finally:
        await consumer.stop()
