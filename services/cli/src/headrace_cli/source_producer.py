"""A producer for the source topics, with a bounded number of records in flight."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, NamedTuple

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from headrace_cli.errors import CommandError
from headrace_clients.kafka import producer
from headrace_runtime.sent_spans import Sent, SentSpans, open_sent_spans
from headrace_runtime.trace_context import TRACEPARENT
from headrace_schemas.changes import CHANGES
from headrace_schemas.fields import Kind
from headrace_schemas.headers import schema_pair
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
    """Publishes to the source topics, each record at the start of a trace. At most `IN_FLIGHT` records are
    unacknowledged at a time.
    """

    def __init__(self, client: AIOKafkaProducer, settings: CommonSettings, spans: SentSpans) -> None:
        self._client = client
        self._spans = spans
        self._topics = settings.topics
        self._pending: deque[asyncio.Future[Any]] = deque()

    async def publish(self, record: SourceRecord) -> None:
        """Returns when the record is sent. Waits only while too many records are unacknowledged.

        Raises CommandError if Kafka does not acknowledge.
        """
        if len(self._pending) >= IN_FLIGHT:
            await self._acknowledged(IN_FLIGHT // 2)
        topic, trace = self._topics.source(record.kind), self._spans.start()
        sent = self._spans.begin(topic, record.key, trace)
        headers = [schema_pair(CHANGES[record.kind]), (TRACEPARENT, trace.traceparent)]
        answer = await self._in_time(self._client.send(topic, record.value, key=record.key, headers=headers))
        if sent is not None:
            answer.add_done_callback(partial(self._end, sent))
            await self._spans.export()
        self._pending.append(answer)

    async def flush(self) -> None:
        """Returns when every record is acknowledged. Raises CommandError if one is not."""
        await self._acknowledged(0)

    def _end(self, sent: Sent, answer: asyncio.Future[Any]) -> None:
        if not answer.cancelled() and answer.exception() is None:
            self._spans.end(sent)

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
        async with open_sent_spans("publish", "publish", settings.telemetry) as spans:
            yield SourceProducer(client, settings, spans)
    finally:
        await client.stop()
