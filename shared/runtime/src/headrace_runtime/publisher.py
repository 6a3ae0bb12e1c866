"""Publishes records and waits, for a limited time, until the brokers have acknowledged all of them."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaConnectionError, KafkaError, MessageSizeTooLargeError, RecordListTooLargeError

from headrace_clients.kafka import max_message_bytes, producer
from headrace_clients.kafka_obstacle import obstacle
from headrace_worker.settings import KafkaSettings
from headrace_worker.stage import Output, Unavailable

ACKNOWLEDGED_WITHIN = 30.0
"""Seconds. An idempotent batch of aiokafka never expires on retriable errors, so the wait must have a limit."""

LARGEST_RECORD_BYTES = 64 * 1024 * 1024
"""Before compression. The brokers limit the compressed size, so a record that they accepted may be far larger, and its
dead letter must get through."""

TOO_LARGE = (MessageSizeTooLargeError, RecordListTooLargeError)
"""A batch is larger than its topic accepts, or than a segment of its log."""

Headers = Sequence[tuple[str, bytes | None]]


class Outgoing(NamedTuple):
    """A record to publish."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: Headers = ()


class RecordsRefused(Unavailable):
    """The brokers refuse some records, because their topic accepts no record as large; all others are acknowledged.

    `indexes`: of the refused records in the call. It is an Unavailable for callers that cannot do without them.
    """

    def __init__(self, indexes: Sequence[int], detail: str) -> None:
        super().__init__("kafka", detail)
        self.indexes = indexes


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

        Raises RecordsRefused if a topic accepts no record as large as some of them, and Unavailable if the broker does
        not acknowledge in time; some of the records may be written then.
        """
        if not records:
            return
        try:
            errors = await _sent(self._started(), records)
        except Unavailable:
            await self._discard()
            raise
        if errors:
            await self._discard()
            await self._publish_alone(records, errors)

    async def _publish_alone(self, records: Sequence[Outgoing | Output], errors: Mapping[int, Exception]) -> None:
        """Publishes the records that failed again, each in a batch of its own, if a batch was too large for its topic.

        A broker refuses a batch as a whole. The producer is not idempotent, because a refused batch leaves a gap in the
        sequence; a record that is written twice changes nothing.
        """
        _raise_unless_too_large(errors, any)
        indexes = sorted(errors)
        alone = self._producer_of(enable_idempotence=False, max_batch_size=1)
        try:
            failed = await _sent(_start(alone), [records[index] for index in indexes])
        finally:
            await _stop(alone)
        if not failed:
            return
        _raise_unless_too_large(failed, all)
        refused = [indexes[place] for place in sorted(failed)]
        topic = records[refused[0]].topic
        limit = await max_message_bytes(self._settings, topic)
        detail = f"{topic} accepts no batch of more than {limit or 'its max.message.bytes'} bytes"
        raise RecordsRefused(refused, f"{detail}; `headrace topics apply` sets what the workers need")

    async def close(self) -> None:
        """Stops the producer."""
        if self._producer is not None:
            await self._producer.stop()
            self._producer = None

    async def _started(self) -> AIOKafkaProducer:
        # Concurrent calls share one producer: the first call starts it.
        async with self._starting:
            if self._producer is None:
                client = self._producer_of()
                try:
                    self._producer = await _start(client)
                except BaseException as error:
                    await _stop(client)
                    # aiokafka raises the same error whatever is wrong with a connection.
                    why = await obstacle(self._settings) if isinstance(error, KafkaConnectionError) else None
                    raise why or error from None
            return self._producer

    def _producer_of(self, **options: Any) -> AIOKafkaProducer:
        # All records of a call are sent at once: there is nothing to linger for.
        return producer(self._settings, linger_ms=0, max_request_size=LARGEST_RECORD_BYTES, **options)

    async def _discard(self) -> None:
        client, self._producer = self._producer, None
        if client is not None:
            await _stop(client)


async def _start(client: AIOKafkaProducer) -> AIOKafkaProducer:
    await client.start()
    return client


async def _stop(client: AIOKafkaProducer) -> None:
    """Stops a producer that may have lost its brokers."""
    try:
        async with asyncio.timeout(1):
            await client.stop()
    except (KafkaError, TimeoutError, OSError):
        return


async def _sent(starting: Awaitable[AIOKafkaProducer], records: Sequence[Outgoing | Output]) -> dict[int, Exception]:
    """Sends the records at once, and returns the errors of those that are not acknowledged, by index.

    Raises Unavailable for an error that is not about one batch.
    """
    errors: dict[int, Exception] = {}
    acknowledgements: dict[int, Any] = {}
    try:
        async with asyncio.timeout(ACKNOWLEDGED_WITHIN):
            client = await starting
            for index, record in enumerate(records):
                try:
                    acknowledgements[index] = (
                        await client.send(record.topic, record.value, key=record.key, headers=list(record.headers))
                        if record.key is not None or record.value is not None
                        else await _send_empty(client, record)
                    )
                except MessageSizeTooLargeError as error:
                    errors[index] = error
            answers = await asyncio.gather(*acknowledgements.values(), return_exceptions=True)
    except (KafkaError, TimeoutError, OSError) as error:
        raise _unacknowledged(error) from error
    failed = zip(acknowledgements, answers, strict=True)
    return errors | {index: answer for index, answer in failed if isinstance(answer, Exception)}


def _raise_unless_too_large(errors: Mapping[int, Exception], are: Callable[[Iterable[bool]], bool]) -> None:
    """Raises Unavailable unless any, or all, of the errors are about the size of a batch."""
    if not are(isinstance(error, TOO_LARGE) for error in errors.values()):
        other = next(error for error in errors.values() if not isinstance(error, TOO_LARGE))
        raise _unacknowledged(other) from other


def _unacknowledged(error: Exception) -> Unavailable:
    return Unavailable("kafka", f"records not acknowledged: {type(error).__name__}")


async def _send_empty(client: AIOKafkaProducer, record: Outgoing | Output) -> Any:
    """aiokafka's `send` refuses a record without key and value. Kafka accepts it, so its dead letter is one, too."""
    batch = client.create_batch()
    batch.append(timestamp=int(time.time() * 1000), key=None, value=None, headers=list(record.headers))
    partition = random.choice(sorted(await client.partitions_for(record.topic)))  # noqa: S311
    return await client.send_batch(batch, record.topic, partition=partition)
