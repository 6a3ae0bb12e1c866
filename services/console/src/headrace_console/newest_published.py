"""The newest published version of an entity, as far as the end of its source topic tells.

The source topic has no index by key, so only the last records of each partition are read.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from headrace_clients.kafka import consumer_options
from headrace_clients.topic_reader import UnknownTopic, partitions_of
from headrace_letters.failure_report import headers_of
from headrace_letters.subject import subject
from headrace_schemas.fields import Kind
from headrace_worker.settings import CommonSettings

RECORDS_A_PARTITION = 1000
WITHIN_SECONDS = 3.0


@dataclass(frozen=True, slots=True)
class NewestPublished:
    """`version`: the highest of the entity among the records that were read; None if there is none. `since`: the time
    of the oldest of them. `whole`: whether they are the whole topic. `problem`: why it could not be read to its end.
    """

    topic: str
    version: int | None = None
    records: int = 0
    since: datetime | None = None
    whole: bool = False
    problem: str = ""


async def newest_published(settings: CommonSettings, kind: Kind, id: str) -> NewestPublished:
    """Reads the last records of each partition, for at most WITHIN_SECONDS. Never raises because of Kafka."""
    topic = settings.topics.source(kind)
    search = _Search(settings, topic, id.encode(errors="surrogatepass"))
    try:
        async with asyncio.timeout(WITHIN_SECONDS):
            return await search.read()
    except TimeoutError:
        return search.found(f"{topic} could not be read within {WITHIN_SECONDS:.0f} s")
    except (KafkaError, OSError, UnknownTopic, UnicodeDecodeError) as error:
        return search.found(f"{topic} cannot be read ({type(error).__name__})")


class _Search:
    """One entity in the last records of a topic."""

    def __init__(self, settings: CommonSettings, topic: str, key: bytes) -> None:
        self._settings = settings
        self._topic = topic
        self._key = key
        self._version: int | None = None
        self._records = 0
        self._oldest: int | None = None

    def found(self, problem: str = "", whole: bool = False) -> NewestPublished:
        """What has been read so far."""
        since = None if self._oldest is None else datetime.fromtimestamp(self._oldest / 1000).astimezone()
        return NewestPublished(self._topic, self._version, self._records, since, whole, problem)

    async def read(self) -> NewestPublished:
        """Reads to the end of the topic at the call."""
        partitions = await partitions_of(self._settings.kafka, [self._topic])
        consumer = AIOKafkaConsumer(**consumer_options(self._settings.kafka))
        consumer.assign(partitions)
        try:
            await consumer.start()
            starts: Mapping[TopicPartition, int] = await consumer.beginning_offsets(partitions)
            ends: Mapping[TopicPartition, int] = await consumer.end_offsets(partitions)
            begins = {part: max(starts[part], ends[part] - RECORDS_A_PARTITION) for part in partitions}
            for partition, begin in begins.items():
                consumer.seek(partition, begin)
            await self._read_until(consumer, ends)
            return self.found(whole=all(begins[part] == starts[part] for part in partitions))
        finally:
            await consumer.stop()

    async def _read_until(self, consumer: AIOKafkaConsumer, ends: Mapping[TopicPartition, int]) -> None:
        left = {partition for partition, end in ends.items() if await consumer.position(partition) < end}
        while left:
            for records in (await consumer.getmany(*left, timeout_ms=200)).values():
                for record in records:
                    self._put(record)
            left = {partition for partition in left if await consumer.position(partition) < ends[partition]}

    def _put(self, record: Any) -> None:
        self._records += 1
        self._oldest = record.timestamp if self._oldest is None else min(self._oldest, record.timestamp)
        if record.key == self._key:
            about = subject(record, headers_of(record), self._topic, self._settings.topics)
            if about.version is not None:
                self._version = max(about.version, self._version or 0)
