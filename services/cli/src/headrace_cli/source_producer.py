"""A producer for the source topics, with a bounded number of records in flight."""

import asyncio
import os
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from headrace_cli.errors import CommandError
from headrace_clients.kafka import producer
from headrace_schemas import headers
from headrace_schemas.changes import CHANGES
from headrace_schemas.fields import Kind
from headrace_worker.settings import CommonSettings

IN_FLIGHT = 5000
ACKNOWLEDGED_WITHIN = 60.0
"""Seconds. The client itself would retry without end."""
LARGEST_BATCH = 262_144
BATCH_FRAMING = 512
"""Bytes that compression and the framing of a batch may add."""


class SourceRecord(NamedTuple):
    """A record of a source topic, as bytes. A value of None is Kafka's null."""

    kind: Kind
    key: bytes
    value: bytes | None


class SourceProducer:
    """Publishes to the source topics. At most `IN_FLIGHT` records are unacknowledged at a time."""

    def __init__(self, client: AIOKafkaProducer, settings: CommonSettings) -> None:
        self._client = client
        self._topics = settings.topics
        self._pending: deque[asyncio.Future[Any]] = deque()

    async def publish(self, record: SourceRecord) -> None:
        """Returns when the record is sent. Waits only while too many records are unacknowledged.

        Raises CommandError if Kafka does not acknowledge.
        """
        if len(self._pending) >= IN_FLIGHT:
            await self._acknowledged(IN_FLIGHT // 2)
        sent = self._client.send(
            self._topics.source(record.kind), record.value, key=record.key, headers=_headers(record.kind)
        )
        self._pending.append(await self._in_time(sent))

    async def flush(self) -> None:
        """Returns when every record is acknowledged. Raises CommandError if one is not."""
        await self._acknowledged(0)

    async def _acknowledged(self, left: int) -> None:
        while len(self._pending) > left:
            await self._in_time(self._pending.popleft())

    async def _in_time(self, answer: Any) -> Any:
        try:
            if isinstance(answer, asyncio.Future) and answer.done():
                return answer.result()
            async with asyncio.timeout(ACKNOWLEDGED_WITHIN):
                return await answer
        except (KafkaError, TimeoutError) as error:
            raise CommandError(
                f"Kafka does not acknowledge ({type(error).__name__}); check that it runs and publish again, which is "
                "safe: a record that arrives twice changes nothing"
            ) from error


@asynccontextmanager
async def open_producer(settings: CommonSettings, topic_bytes: int | None = None) -> AsyncIterator[SourceProducer]:
    """A producer for the source topics. `topic_bytes`: what the topics accept, if it is known."""
    # A batch is refused when it is larger than the topic's largest record, so a small limit asks for small batches.
    accepted = min(settings.kafka.max_record_bytes, topic_bytes or settings.kafka.max_record_bytes)
    client = producer(settings.kafka, max_batch_size=min(LARGEST_BATCH, max(1, accepted - BATCH_FRAMING)))
    await client.start()
    try:
        yield SourceProducer(client, settings)
    finally:
        await client.stop()


def _headers(kind: Kind) -> Sequence[tuple[str, bytes]]:
    """The schema, and the start of a trace (W3C trace context, version 00, sampled) for this record."""
    identifiers = os.urandom(24).hex()
    traceparent = f"00-{identifiers[:32]}-{identifiers[32:]}-01".encode()
    return [headers.schema_pair(CHANGES[kind]), ("traceparent", traceparent)]
