"""Everything that a worker takes from FastStream: the broker, its subscribers, and how a batch reaches the path.

All of it is FastStream's public interface, except `consume_with`.
"""

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Protocol

from aiokafka import ConsumerRecord
from faststream import AckPolicy
from faststream.kafka import KafkaBroker, KafkaMessage
from faststream.security import BaseSecurity, SASLPlaintext, SASLScram256, SASLScram512

from headrace_clients.copy_address import assignors
from headrace_clients.kafka import READ_COMMITTED, client_options
from headrace_runtime.consumer import PartitionConsumer
from headrace_runtime.decoder import KafkaRecord
from headrace_worker.settings import WorkerSettings

MAX_POLL_INTERVAL_MS = 300_000
FETCH_BYTES = 16 * 2**20
"""Compressed bytes of one answer of a broker, and of what waits in memory for the next polls."""
GRACE_SECONDS = 9.0
"""How long a worker may take to finish its batch after SIGTERM; a supervisor usually allows 10 s."""
METADATA_MAX_AGE_MS = 300_000
SASL = {"PLAIN": SASLPlaintext, "SCRAM-SHA-256": SASLScram256, "SCRAM-SHA-512": SASLScram512}
NEW_TOPICS_WITHIN_MS = 30_000
"""After this time a consumer that subscribes by a pattern reads a new topic."""


class Path(Protocol):
    """Handles the batches of one consumer group."""

    async def handle(self, records: Sequence[KafkaRecord]) -> None:
        """Returns when the batch may be committed; raises NackMessage to get it again."""
        ...


def worker_broker(worker: str, settings: WorkerSettings, *, new_topics: bool = False) -> KafkaBroker:
    """The broker of a worker. It only consumes. `new_topics`: whether a subscriber waits for topics still to come."""
    options = client_options(settings.kafka)
    return KafkaBroker(
        options["bootstrap_servers"],
        consumer_only=True,
        security=_security(options),
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
    returns. Returns a check of Kafka: `PartitionConsumer.check`, once there is a consumer.
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
        if isinstance(subscriber.consumer, PartitionConsumer):
            await subscriber.consumer.check()

    return check


async def consume_with(broker: KafkaBroker, consumers: Mapping[str, Callable[..., PartitionConsumer]]) -> None:
    """Makes the subscribers consume with PartitionConsumers. `consumers`: consumer group to the maker of its consumer.

    FastStream has no public way to choose the consumer's class: this replaces the function that its subscribers call
    when they start, `config.builder`, which `connect` has set to AIOKafkaConsumer with the connection's options.
    """
    await broker.connect()
    config = broker.config.broker_config
    assert isinstance(config.builder, partial)
    options = config.builder.keywords

    def build(*, group_id: str, **subscriber_options: Any) -> PartitionConsumer:
        return consumers[group_id](group_id=group_id, **options | subscriber_options)

    config.builder = build


def _security(options: Mapping[str, Any]) -> BaseSecurity:
    """FastStream's description of the security in the options of an aiokafka client."""
    connection = {"ssl_context": options["ssl_context"], "use_ssl": options["security_protocol"].endswith("SSL")}
    if "sasl_mechanism" not in options:
        return BaseSecurity(**connection)
    user = {"username": options["sasl_plain_username"], "password": options["sasl_plain_password"]}
    return SASL[options["sasl_mechanism"]](**user, **connection)


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
