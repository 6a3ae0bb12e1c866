"""Reads receipts and dead letters into the outcomes of records, and which offsets have no record."""

import asyncio
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import CorruptRecordException, KafkaError, UnsupportedCodecError
from pydantic_core import from_json

from headrace_cli.record_outcomes import Cause, Part, RecordOutcomes
from headrace_clients.kafka import consumer_options
from headrace_clients.kafka_offsets import closed
from headrace_letters.letter import read_letter
from headrace_schemas.canary import CANARY_ID
from headrace_schemas.receipts import ReceiptOutcome
from headrace_schemas.topics import Topics
from headrace_worker.settings import CommonSettings, KafkaSettings

POLL_MS = 200
ANSWER_SECONDS = 60.0
MOST_UNREAD = 20_000
"""Offsets. A longer range that a worker has not committed is not read to tell which of its offsets have a record."""


class OutcomeReader:
    """Reads the topics of receipts and of dead letters from `starts` on, as far as they go at each call of `read`."""

    def __init__(
        self, settings: CommonSettings, outcomes: RecordOutcomes, starts: Mapping[TopicPartition, int]
    ) -> None:
        self._settings = settings
        self._outcomes = outcomes
        self._positions = dict(starts)
        self._consumer: AIOKafkaConsumer | None = None

    async def read(self) -> None:
        """Reads what is new since the last call. Raises what aiokafka raises; the next call goes on from there."""
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                ends = await (await self._opened()).end_offsets(list(self._positions))
            await self._read_to(ends)
        except (KafkaError, OSError, TimeoutError):
            await self.close()
            raise

    async def close(self) -> None:
        """Closes the connection."""
        if self._consumer is not None:
            consumer, self._consumer = self._consumer, None
            await closed(consumer.stop())

    async def _opened(self) -> AIOKafkaConsumer:
        if self._consumer is None:
            self._consumer = await _consumer_at(self._settings.kafka, self._positions)
        return self._consumer

    async def _read_to(self, ends: Mapping[TopicPartition, int]) -> None:
        consumer = await self._opened()
        async for records in _until(consumer, self._positions, ends):
            for record in records:
                put_record(self._outcomes, record, self._settings.topics)


async def find_missing_records(settings: KafkaSettings, outcomes: RecordOutcomes, finished: bool) -> None:
    """Marks the unanswered offsets that have no record. Raises what aiokafka raises.

    `finished`: every worker has committed everything. If not, only short ranges are read. Offsets that have left their
    topic stay unanswered: they may have had records that no worker has read. So do those behind an open transaction.
    """
    begins: dict[TopicPartition, int] = {}
    ends: dict[TopicPartition, int] = {}
    for part, found in outcomes.pinned():
        if (open_range := found.unanswered()) and (finished or open_range[1] - open_range[0] <= MOST_UNREAD):
            partition, (begin, end) = part.partition, open_range
            begins[partition] = min(begin, begins.get(partition, begin))
            ends[partition] = max(end, ends.get(partition, end))
    if not begins:
        return
    consumer = await _consumer_at(settings, begins)
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            left = await consumer.beginning_offsets(list(begins))
            readable = await consumer.end_offsets(list(begins))
        ends = {partition: min(end, readable[partition]) for partition, end in ends.items()}
        expected = {partition: max(begin, left[partition]) for partition, begin in begins.items()}
        async for records in _until(consumer, dict(begins), ends):
            for record in records:
                partition = TopicPartition(record.topic, record.partition)
                outcomes.no_record(partition, range(expected[partition], min(record.offset, ends[partition])))
                expected[partition] = record.offset + 1
        for partition, end in ends.items():
            outcomes.no_record(partition, range(expected[partition], end))
    except (UnsupportedCodecError, CorruptRecordException, UnicodeDecodeError):
        # A worker holds such a partition. Its unanswered offsets count as records.
        return
    finally:
        await closed(consumer.stop())


def put_record(outcomes: RecordOutcomes, record: Any, topics: Topics) -> None:
    """Puts the outcomes that a record of receipts, or a dead letter, reports. Ignores a record that is neither."""
    if record.topic == topics.receipts:
        with suppress(ValueError, KeyError, TypeError, AttributeError):
            _put_receipts(outcomes, from_json(record.value))
        return
    letter = read_letter(record, topics)
    if letter.failed is not None:
        topic, partition, offset = letter.failed
        cause = Cause(letter.fingerprint, letter.reason, letter.error)
        outcomes.put_letter(Part(letter.worker, TopicPartition(topic, partition)), offset, cause)


def _put_receipts(outcomes: RecordOutcomes, batch: Any) -> None:
    worker = batch["worker"]
    reports: defaultdict[tuple[str, int], list[tuple[int, ReceiptOutcome]]] = defaultdict(list)
    for receipt in batch["receipts"]:
        if receipt.get("id") == CANARY_ID:
            # Nobody who waits for a publication has published it.
            outcomes.no_record(TopicPartition(receipt["topic"], receipt["partition"]), [receipt["offset"]])
            continue
        reports[receipt["topic"], receipt["partition"]].append((receipt["offset"], receipt["outcome"]))
        if replay_of := receipt.get("replay_of"):
            # The id of the letter is the worker and the position of the record that failed first.
            failed_at, topic, partition, offset, *_ = replay_of.split(":")
            first = Part(failed_at, TopicPartition(topic, int(partition)))
            outcomes.put_replay(first, int(offset), receipt["outcome"])
    for (topic, partition), of_partition in reports.items():
        outcomes.put(Part(worker, TopicPartition(topic, partition)), of_partition)


async def _consumer_at(settings: KafkaSettings, positions: Mapping[TopicPartition, int]) -> AIOKafkaConsumer:
    consumer = AIOKafkaConsumer(
        **consumer_options(settings),
        auto_offset_reset="earliest",
        max_partition_fetch_bytes=2 * settings.max_record_bytes,
    )
    consumer.assign(list(positions))
    try:
        await consumer.start()
    except BaseException:
        await closed(consumer.stop())
        raise
    for partition, offset in positions.items():
        consumer.seek(partition, offset)
    return consumer


async def _until(
    consumer: AIOKafkaConsumer, positions: dict[TopicPartition, int], ends: Mapping[TopicPartition, int]
) -> AsyncIterator[list[Any]]:
    """The records up to `ends`, in lists of one partition. Keeps `positions` at what has been read.

    Raises TimeoutError if nothing comes for ANSWER_SECONDS: aiokafka does not tell that the brokers are away.
    """
    left = {partition for partition, end in ends.items() if positions[partition] < end}
    before, moved = dict(positions), time.monotonic()
    while left:
        for partition, records in (await consumer.getmany(*left, timeout_ms=POLL_MS)).items():
            yield records
            positions[partition] = records[-1].offset + 1
        for partition in list(left):
            # Beyond the last record there may be markers of transactions, which have no record.
            positions[partition] = max(positions[partition], await consumer.position(partition))
            if positions[partition] >= ends[partition]:
                left.remove(partition)
        if positions != before:
            before, moved = dict(positions), time.monotonic()
        elif time.monotonic() - moved > ANSWER_SECONDS:
            raise TimeoutError
