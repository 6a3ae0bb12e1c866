"""Everything that a worker takes from FastStream: the broker, its subscribers, and how a batch reaches the path.

All of it is FastStream's public interface, except `consume_with`.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Protocol

from aiokafka import ConsumerRecord
from aiokafka.errors import KafkaError
from faststream import AckPolicy
from faststream.kafka import KafkaBroker, KafkaMessage

from headrace_clients.copy_address import assignors
from headrace_clients.kafka import READ_COMMITTED, client_options
from headrace_clients.kafka_obstacle import obstacle
from headrace_runtime.consumer import PartitionConsumer
from headrace_runtime.decoder import KafkaRecord
from headrace_worker.settings import KafkaSettings, WorkerSettings

MAX_POLL_INTERVAL_MS = 300_000
FETCH_BYTES = 16 * 2**20
"""Compressed bytes of one answer of a broker, and of what waits in memory for the next polls."""
GRACE_SECONDS = 9.0
"""How long a worker may take to finish its batch after SIGTERM; a supervisor usually allows 10 s."""
METADATA_MAX_AGE_MS = 300_000
CHECK_SECONDS = 2.0
"""Within which brokers answer a check, or else a new connection finds out why they do not."""
NEW_TOPICS_WITHIN_MS = 30_000
"""After this time a consumer that subscribes by a pattern reads a new topic."""


class Path(Protocol):
    """Handles the batches of one consumer group."""

    async def handle(self, records: Sequence[KafkaRecord]) -> None:
        """Returns when the batch may be committed; raises NackMessage to get it again."""
        ...


def worker_broker(worker: str, settings: WorkerSettings, *, new_topics: bool = False) -> KafkaBroker:
    """The broker of a worker. It only consumes. `new_topics`: whether a subscriber waits for topics still to come."""
    return KafkaBroker(
        consumer_only=True,
        client_id=f"headrace-{worker}",
        allow_auto_create_topics=False,
        metadata_max_age_ms=NEW_TOPICS_WITHIN_MS if new_topics else METADATA_MAX_AGE_MS,
        graceful_timeout=GRACE_SECONDS,
        parser=_parsed,
        decoder=_records,
        apply_types=False,
        serializer=None,
        logger=logging.getLogger("headrace.faststream"),
    )


def subscribe(
    broker: KafkaBroker,
    path: Path,
    topics: Sequence[str],
    *,
    pattern: str | None,
    group: str,
    max_records: int,
    settings: WorkerSettings,
) -> Callable[[], Awaitable[object]]:
    """Gives each batch of the topics, or of all topics that match `pattern`, to the path and commits it if the path
    returns. Returns a check of Kafka: one small request, once there is a consumer. It raises Unavailable or KafkaError.
    """
    session_timeout_ms = int(settings.kafka.session_timeout * 1000)
    subscriber = broker.subscriber(
        *topics,
        pattern=pattern,
        batch=True,
        batch_timeout_ms=1,
        max_records=max_records,
        group_id=group,
        ack_policy=AckPolicy.NACK_ON_ERROR,
        auto_offset_reset="earliest",
        isolation_level=READ_COMMITTED,
        max_poll_interval_ms=MAX_POLL_INTERVAL_MS,
        fetch_max_bytes=FETCH_BYTES,
        session_timeout_ms=session_timeout_ms,
        heartbeat_interval_ms=session_timeout_ms // 15,
        partition_assignment_strategy=assignors(settings.http),
    )
    subscriber(path.handle)

    async def check() -> None:
        if not isinstance(subscriber.consumer, PartitionConsumer):
            return
        try:
            async with asyncio.timeout(CHECK_SECONDS):
                await subscriber.consumer.check()
        except (KafkaError, OSError, TimeoutError):
            # aiokafka raises the same error whatever is wrong with a connection.
            if (why := await obstacle(settings.kafka)) is not None:
                raise why from None
            raise

    return check


async def consume_with(
    broker: KafkaBroker, consumers: Mapping[str, Callable[..., PartitionConsumer]], settings: KafkaSettings
) -> None:
    """Makes the subscribers consume with PartitionConsumers. `consumers`: consumer group to the maker of its consumer.

    FastStream has no public way to choose the consumer's class: this replaces the function that its subscribers call
    when they start, `config.builder`, which `connect` has set to AIOKafkaConsumer with its options. How to connect to
    Kafka is not among these: it comes from the same place as for every other client.
    """
    await broker.connect()
    config = broker.config.broker_config
    assert isinstance(config.builder, partial)
    connection = client_options(settings)
    client_id = config.builder.keywords["client_id"]
    options = config.builder.keywords | connection | {"client_id": client_id}

    def build(*, group_id: str, **subscriber_options: Any) -> PartitionConsumer:
        return consumers[group_id](group_id=group_id, **options | subscriber_options)

    config.builder = build


async def _parsed(
    records: tuple[ConsumerRecord, ...], original: Callable[[Any], Awaitable[KafkaMessage]]
) -> KafkaMessage:
    """FastStream's message of a batch. Its own parser gets no headers: it decodes them as text, and an error for a
    binary header would be raised outside of the path.
    """
    message = await original((replace(records[0], headers=()),))
    message.raw_message = records
    return message


async def _records(message: KafkaMessage) -> Any:
    """What the path gets: the records as aiokafka returns them."""
    return message.raw_message
