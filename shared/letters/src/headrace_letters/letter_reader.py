"""Reads the records of dead letters from their topics, by position."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Collection, Iterable, Sequence
from contextlib import asynccontextmanager

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import CorruptRecordException, KafkaError, UnsupportedCodecError

from headrace_clients.kafka import consumer_options
from headrace_clients.kafka_obstacle import obstacle
from headrace_clients.kafka_offsets import closed
from headrace_letters.failure_report import failure_report, headers_of
from headrace_letters.letter import Letter, is_record_of
from headrace_letters.plain_record import PlainRecord
from headrace_letters.visible_text import visible
from headrace_runtime.dead_letters import omitted_size
from headrace_runtime.decoder import KafkaRecord, Position, position
from headrace_worker.settings import KafkaSettings
from headrace_worker.stage import Unavailable

log = structlog.get_logger(__name__)

ANSWER_WITHIN = 30.0
"""Seconds after which a broker that does not send an existing record counts as unavailable."""
POLL_MS = 500
FETCH_WAIT_MS = 20
"""A broker delays a fetch at the end of a partition for this long, and the next fetch has to wait for it."""
POLL_RECORDS = 100
"""Few, because a record may have megabytes and all of them are in memory."""
SEEK_DISTANCE = 2000
"""Offsets. If the next letter is nearer, reading on is faster than a seek."""


class LetterReader:
    """Reads records by position, without a consumer group. One caller at a time."""

    def __init__(self, consumer: AIOKafkaConsumer, largest_value: int) -> None:
        self._consumer = consumer
        self._largest_value = largest_value
        self._partition: TopicPartition | None = None
        self._polled: deque[KafkaRecord] = deque()
        self._next = 0
        self._end = 0
        self._replaced: set[str] = set()

    async def read(self, positions: Iterable[Position]) -> AsyncIterator[tuple[Position, KafkaRecord | None]]:
        """Each record in the given order; None if it has expired, never existed or cannot be decompressed.

        A letter whose value was too large for its topic gets it from the original record, if that is still there and
        the settings allow its size now; else its value is None. Few records are in memory at a time. It is fast if the
        positions are in the order of the topic, as from `LetterIndex.walk`, also from one call to the next. Raises
        Unavailable.
        """
        for wanted in positions:
            try:
                async with asyncio.timeout(ANSWER_WITHIN):
                    record = await self._read(wanted)
                    if record is not None and 0 <= (omitted_size(record) or -1) <= self._largest_value:
                        record = await self._with_value(record)
            except (KafkaError, OSError) as error:
                self._partition = None
                raise Unavailable("kafka", f"a dead letter cannot be read: {type(error).__name__}") from error
            yield wanted, record

    async def records_of(self, letters: Sequence[Letter]) -> list[KafkaRecord | None]:
        """The record of each letter, as from `read`; None also if another record is at its position.

        Raises Unavailable.
        """
        records = [record async for _, record in self.read([letter.at for letter in letters])]
        return [self._own(letter, record) for letter, record in zip(letters, records, strict=True)]

    def pause(self) -> None:
        """Fetches nothing until the next read. For a reader that stays open."""
        self._consumer.unsubscribe()
        self._partition = None
        self._polled.clear()

    async def _read(self, wanted: Position) -> KafkaRecord | None:
        partition = TopicPartition(wanted.topic, wanted.partition)
        if not await self._has_offset(partition, wanted.offset):
            return None
        self._seek_near(partition, wanted.offset)
        try:
            return await self._read_until(partition, wanted.offset)
        except KafkaError as error:
            if not isinstance(error, UnsupportedCodecError | CorruptRecordException):
                raise
            self._log_unreadable(wanted, error)
        except (UnicodeDecodeError, ValueError) as error:
            self._log_unreadable(wanted, error)
        return None

    def _own(self, letter: Letter, record: KafkaRecord | None) -> KafkaRecord | None:
        if record is None or is_record_of(record, letter):
            return record
        if letter.id not in self._replaced:
            self._replaced.add(letter.id)
            place = {"topic": letter.at.topic, "partition": letter.at.partition, "offset": letter.at.offset}
            why = "another record is at its position: the topic was deleted and created again"
            log.warning("dead_letter_lost", letter=visible(letter.id), why=why, **place)
        return None

    async def _with_value(self, letter: KafkaRecord) -> KafkaRecord:
        """The letter with the value of the record that failed, if that record is still in its topic."""
        failed = failure_report(headers_of(letter)).failed
        original = await self._read(failed) if failed is not None else None
        if original is None or len(original.value or b"") != omitted_size(letter):
            return letter
        at = position(letter)
        return PlainRecord(*at, letter.timestamp, letter.key, original.value, letter.headers)

    async def _has_offset(self, partition: TopicPartition, offset: int) -> bool:
        """Whether the partition has such an offset. Waiting for an offset beyond its end would never finish."""
        if partition != self._partition or offset >= self._end:
            if partition.partition not in await self._partitions_of(partition.topic):
                return False
            self._end = (await self._consumer.end_offsets([partition]))[partition]
        return offset < self._end

    async def _partitions_of(self, topic: str) -> Collection[int]:
        known: Collection[int] | None = self._consumer.partitions_for_topic(topic)
        if known is None:
            # aiokafka keeps no metadata of topics that are not assigned.
            everything = await self._consumer._client.fetch_all_metadata()
            known = everything.partitions_for_topic(topic)
        return known or ()

    def _seek_near(self, partition: TopicPartition, offset: int) -> None:
        if partition != self._partition:
            self._consumer.assign([partition])
        elif self._next <= offset < self._next + SEEK_DISTANCE:
            return
        self._consumer.seek(partition, offset)
        self._partition, self._next = partition, offset
        self._polled.clear()

    async def _read_until(self, partition: TopicPartition, offset: int) -> KafkaRecord | None:
        while True:
            while self._polled:
                if self._polled[0].offset > offset:
                    return None
                record = self._polled.popleft()
                self._next = record.offset + 1
                if record.offset == offset:
                    return record
            polled = await self._consumer.getmany(partition, timeout_ms=POLL_MS, max_records=POLL_RECORDS)
            self._polled.extend(polled.get(partition, ()))
            if not self._polled and await self._consumer.position(partition) > offset:
                return None

    def _log_unreadable(self, wanted: Position, error: Exception) -> None:
        self._partition = None
        place = {"topic": wanted.topic, "partition": wanted.partition, "offset": wanted.offset}
        log.warning("dead_letter_unreadable", error=type(error).__name__, **place)


@asynccontextmanager
async def open_letter_reader(settings: KafkaSettings) -> AsyncIterator[LetterReader]:
    """A reader for any topics. Raises Unavailable if no broker answers."""
    consumer = AIOKafkaConsumer(
        **consumer_options(settings),
        auto_offset_reset="earliest",
        max_partition_fetch_bytes=2 * settings.max_record_bytes,
        fetch_max_wait_ms=FETCH_WAIT_MS,
    )
    try:
        await _started(consumer, settings)
        yield LetterReader(consumer, 2 * settings.max_record_bytes)
    finally:
        await closed(consumer.stop())


async def _started(consumer: AIOKafkaConsumer, settings: KafkaSettings) -> None:
    try:
        async with asyncio.timeout(ANSWER_WITHIN):
            await consumer.start()
    except (KafkaError, OSError) as error:
        why = await obstacle(settings)
        if why is not None and why.kind != "unreachable":
            raise why from error
        raise Unavailable("kafka", f"cannot be reached: {type(error).__name__}", kind="unreachable") from error
