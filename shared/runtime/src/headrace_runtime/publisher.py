"""Publishes records and waits, for a bounded time, until the broker has acknowledged all of them."""

import asyncio
import random
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from headrace_clients.kafka import producer
from headrace_worker.settings import KafkaSettings
from headrace_worker.stage import Output, Unavailable

ACKNOWLEDGED_WITHIN = 30.0
"""Seconds. An idempotent batch of aiokafka never expires on retriable errors, so the wait has to."""

LARGEST_RECORD_BYTES = 64 * 1024 * 1024
"""Before compression. The broker's limit is on what is compressed: a record that it took compressed may be far larger,
and its dead letter has to get through."""

Headers = Sequence[tuple[str, bytes | None]]


class Outgoing(NamedTuple):
    """A record to publish."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: Headers = ()


class Publisher:
    """One producer of a worker, replaced when it fails: an idempotent producer that has lost its place cannot go on."""

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
        # Several publish at the same time: the first of them starts the one producer.
        async with self._starting:
            if self._producer is None:
                # What is to go is handed over at once: there is nothing to linger for.
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


async def _send_empty(client: AIOKafkaProducer, record: Outgoing | Output) -> Any:
    """`send` refuses a record without key and value; Kafka does not, and a dead letter of one is such a record."""
    batch = client.create_batch()
    batch.append(timestamp=int(time.time() * 1000), key=None, value=None, headers=list(record.headers))
    partition = random.choice(sorted(await client.partitions_for(record.topic)))  # noqa: S311
    return await client.send_batch(batch, record.topic, partition=partition)
