"""Fills a new store from the topics, and follows them while the store in use takes the same changes."""

from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition

from headrace_clients.kafka import consumer_options
from headrace_clients.topic_reader import partitions_of
from headrace_runtime.attempts import Attempts, RetryLoop
from headrace_runtime.decoder import Decoded, Decoder
from headrace_runtime.forget_records import in_turn
from headrace_runtime.stopping import Stopping
from headrace_schemas.fields import RecordKind
from headrace_worker.settings import CommonSettings, WorkerSettings
from headrace_worker.stage import Stage, Unavailable

POLL_RECORDS = 500
POLL_MS = 500
OnProgress = Callable[[int, int], None]
"""Gets the number of records that are read, and of those up to the end."""


class Feed:
    """Reads the topics with a consumer group of its own. What is committed is in the new store.

    `rejected`: the versions that this run could not apply, by kind and id.
    """

    def __init__(
        self, consumer: AIOKafkaConsumer, partitions: Sequence[TopicPartition], decoder: Decoder, settings: Any
    ) -> None:
        self._consumer = consumer
        self._partitions = partitions
        self._decoder = decoder
        self._settings: WorkerSettings = settings
        self.rejected: set[tuple[RecordKind, str, int]] = set()
        self.outcomes: Counter[str] = Counter()

    async def until_now(self, stage: Stage[Any], on_progress: OnProgress = lambda read, end: None) -> None:
        """Applies every record up to the present ends. Raises Unavailable: nothing that is not applied is committed."""
        loop = self._loop(stage)
        ends: Mapping[TopicPartition, int] = await self._consumer.end_offsets(self._partitions)
        starts: Mapping[TopicPartition, int] = await self._consumer.beginning_offsets(self._partitions)
        total = sum(ends.values()) - sum(starts.values())
        while left := await self._left(ends):
            on_progress(total - left, total)
            polled = await self._consumer.getmany(timeout_ms=POLL_MS, max_records=POLL_RECORDS)
            await self._apply([record for records in polled.values() for record in records], loop)
            await self._consumer.commit()
        on_progress(total, total)

    async def positions(self) -> dict[TopicPartition, int]:
        """The next offset of each partition: everything before it is in the new store."""
        return {partition: await self._consumer.position(partition) for partition in self._partitions}

    async def _left(self, ends: Mapping[TopicPartition, int]) -> int:
        positions = await self.positions()
        return sum(max(0, end - positions[partition]) for partition, end in ends.items())

    async def _apply(self, records: Sequence[Any], loop: RetryLoop) -> None:
        """A record that cannot be decoded is a dead letter of the worker, which reads it as well."""
        read = [self._decoder.decode(record) for record in records]
        self.outcomes["undecoded"] += sum(not isinstance(one, Decoded) for one in read)
        for part in in_turn([one for one in read if isinstance(one, Decoded)]):
            for answered in await loop.answers(part):
                self.outcomes[answered.outcome] += 1
                if answered.rejection is not None:
                    self.rejected.add((answered.kind, answered.change.id, answered.change.version))

    def _loop(self, stage: Stage[Any]) -> RetryLoop:
        async def publish(outputs: Sequence[Any]) -> None:
            assert not outputs, "a sink publishes nothing"

        def note(error: Unavailable) -> None:
            """The loop tries again."""

        batch = self._settings.batch
        attempts = Attempts(stage, timeout=batch.give_back_after, poison_tries=batch.poison_tries)
        return RetryLoop(attempts, batch, Stopping(), publish=publish, max_output_bytes=1, on_unavailable=note)


@asynccontextmanager
async def open_feed(settings: WorkerSettings, group: str, inputs: Mapping[str, type[Any]]) -> AsyncIterator[Feed]:
    """`inputs`: topic to the model of its records. Raises UnknownTopic."""
    partitions = await partitions_of(settings.kafka, inputs)
    limit = settings.kafka.max_record_bytes
    decoder = Decoder(inputs, "", on_null="ignore", accept_newer=True, max_record_bytes=limit, model=settings.model)
    consumer = _consumer(settings, group)
    consumer.assign(partitions)
    await consumer.start()
    try:
        yield Feed(consumer, partitions, decoder, settings)
    finally:
        await consumer.stop()


async def begin_anew(settings: CommonSettings, group: str, topics: Sequence[str]) -> None:
    """Sets the group to the first records that the topics have."""
    partitions = await partitions_of(settings.kafka, topics)
    consumer = _consumer(settings, group)
    consumer.assign(partitions)
    await consumer.start()
    try:
        await consumer.commit(await consumer.beginning_offsets(partitions))
    finally:
        await consumer.stop()


def _consumer(settings: CommonSettings, group: str) -> AIOKafkaConsumer:
    return AIOKafkaConsumer(
        **consumer_options(settings.kafka),
        group_id=group,
        auto_offset_reset="earliest",
        max_partition_fetch_bytes=2 * settings.kafka.max_record_bytes,
    )
