"""Publishes records and waits, for a limited time, until the brokers have acknowledged all of them."""

import asyncio
import random
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from headrace_clients.kafka import producer
from headrace_runtime.decoder import KafkaRecord
from headrace_worker.settings import KafkaSettings
from headrace_worker.stage import Output, Unavailable

ACKNOWLEDGED_WITHIN = 30.0
"""Seconds. An idempotent batch of aiokafka never expires on retriable errors, so the wait must have a limit."""

LARGEST_RECORD_BYTES = 64 * 1024 * 1024
"""Before compression. The brokers limit the compressed size, so a record that they accepted may be far larger, and its
dead letter must get through."""

TRACE_HEADERS = ("traceparent", "tracestate")

Headers = Sequence[tuple[str, bytes | None]]


class Outgoing(NamedTuple):
    """A record to publish."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: Headers = ()


class Publisher:
    """The one producer of a worker. After a failure it is replaced, because an idempotent producer that has lost its
    sequence cannot continue.
    """

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings
        self._producer: AIOKafkaProducer | None = None
        self._starting = asyncio.Lock()

    async def publish(self, records: Sequence[Outgoing | Output]) -> None:
        """Returns once every record is acknowledged by all in-sync replicas.

        Raises Unavailable if the broker does not acknowledge in time; some of the records may be written then.
        """
        if not records:
            return
        try:
            async with asyncio.timeout(ACKNOWLEDGED_WITHIN):
                client = await self._started()
                acknowledgements = [
                    await client.send(record.topic, record.value, key=record.key, headers=list(record.headers))
                    if record.key is not None or record.value is not None
                    else await _send_empty(client, record)
                    for record in records
                ]
                await asyncio.gather(*acknowledgements)
        except (KafkaError, TimeoutError, OSError) as error:
            await self._discard()
            raise Unavailable("kafka", f"records not acknowledged: {type(error).__name__}") from error

    async def close(self) -> None:
        """Stops the producer."""
        if self._producer is not None:
            await self._producer.stop()
            self._producer = None

    async def _started(self) -> AIOKafkaProducer:
        # Concurrent calls share one producer: the first call starts it.
        async with self._starting:
            if self._producer is None:
                # All records of a call are sent at once: there is nothing to linger for.
                client = producer(self._settings, linger_ms=0, max_request_size=LARGEST_RECORD_BYTES)
                await client.start()
                self._producer = client
            return self._producer

    async def _discard(self) -> None:
        client, self._producer = self._producer, None
        if client is not None:
            try:
                async with asyncio.timeout(1):
                    await client.stop()
            except (KafkaError, TimeoutError, OSError):
                return


def trace_headers(record: KafkaRecord) -> Headers:
    """The headers that carry the trace of the source event, for every record made from it."""
    return [(name, value) for name, value in record.headers if name in TRACE_HEADERS]


async def _send_empty(client: AIOKafkaProducer, record: Outgoing | Output) -> Any:
    """aiokafka's `send` refuses a record without key and value. Kafka accepts it, so its dead letter is one, too."""
    batch = client.create_batch()
    batch.append(timestamp=int(time.time() * 1000), key=None, value=None, headers=list(record.headers))
    partition = random.choice(sorted(await client.partitions_for(record.topic)))  # noqa: S311
    return await client.send_batch(batch, record.topic, partition=partition)
