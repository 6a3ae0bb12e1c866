"""A consumer that loses no record of a healthy partition when another partition cannot be unpacked.

aiokafka's getmany drops what it has already taken of other partitions when one of them raises, and the next commit
would cover those records. So after any failed poll every partition goes back to its committed offset, which is all
that has been handled, and the partition at fault is found and held while the others go on.
"""

import logging
import time
from collections.abc import Awaitable, Callable, Collection, Mapping
from functools import partial
from typing import Any, cast

import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import (
    ConsumerStoppedError,
    CorruptRecordException,
    IllegalStateError,
    KafkaError,
    UnsupportedCodecError,
)
from faststream import AckPolicy
from faststream.kafka import KafkaBroker
from faststream.kafka.message import KafkaAckableMessage

from headrace_clients.kafka import client_options, security
from headrace_runtime.decoder import KafkaRecord
from headrace_runtime.health import Health
from headrace_runtime.metrics import Metrics
from headrace_worker.settings import WorkerSettings

log = structlog.get_logger(__name__)

HELD_SECONDS = 30.0
"""How long a partition that cannot be unpacked rests before it is tried again."""
PROBE_MS = 5000
MAX_POLL_INTERVAL_MS = 300_000
GRACE_SECONDS = 9.0
"""How long a stopping worker may finish the batch in hand, below the 10 s that a supervisor gives it."""

Polled = dict[TopicPartition, list[Any]]


class PartitionConsumer(AIOKafkaConsumer):  # type: ignore[misc]  # aiokafka has no types
    """AIOKafkaConsumer for one worker: every poll beats the heartbeat, waits `wait_ms`, and survives bad batches."""

    def __init__(self, *topics: str, health: Health, metrics: Metrics, wait_ms: int, **options: Any) -> None:
        super().__init__(*topics, **options)
        self._health = health
        self._metrics = metrics
        self._wait_ms = wait_ms
        self._held: dict[TopicPartition, float] = {}
        self._taken: dict[TopicPartition, int] = {}

    async def getmany(self, *partitions: TopicPartition, timeout_ms: int = 0, max_records: int | None = None) -> Polled:
        """The next records of every partition that can be read; {} after `wait_ms` without one."""
        self._health.beat()
        self._release_rested()
        size = self._health.poll_size(max_records)
        try:
            records = cast(Polled, await super().getmany(timeout_ms=self._wait_ms, max_records=size))
        except ConsumerStoppedError:
            raise
        except Exception as error:
            await self._rewind()
            if not _cannot_unpack(error):
                raise
            records = await self._hold_the_unreadable(size)
        finally:
            self._health.beat()
        self._taken |= {partition: taken[-1].offset + 1 for partition, taken in records.items()}
        self._report_lag()
        return records

    def seek(self, partition: TopicPartition, offset: int) -> None:
        """Like aiokafka's, but a partition that a rebalance has taken away is left alone."""
        try:
            super().seek(partition, offset)
        except IllegalStateError:
            log.info("partition_lost_before_seek", topic=partition.topic, partition=partition.partition)

    async def _rewind(self) -> None:
        # Not seek_to_committed: it leaves a partition where it is when the committed offset is 0.
        committed = {partition: await self.committed(partition) for partition in self.assignment()}
        for partition, offset in committed.items():
            if offset is not None:
                self.seek(partition, offset)
        never_committed = [partition for partition, offset in committed.items() if offset is None]
        if never_committed:
            await self.seek_to_beginning(*never_committed)

    async def _hold_the_unreadable(self, most: int | None) -> Polled:
        """Polls each partition alone to find those that raise, and pauses them.

        Returns what such a partition holds before the record that cannot be unpacked; the others keep their place.
        """
        assigned = sorted(self.assignment() - self.paused())
        ends = await self.end_offsets(assigned)
        readable: Polled = {}
        for partition in assigned:
            start = await self.position(partition)
            if start >= ends[partition]:
                continue
            _, error = await self._probe(partition, most)
            self.seek(partition, start)
            if error is not None:
                readable[partition] = await self._records_before_the_unreadable(partition, most)
                self._hold(partition, error)
        return {partition: records for partition, records in readable.items() if records}

    async def _records_before_the_unreadable(self, partition: TopicPartition, most: int | None) -> list[Any]:
        records: list[Any] = []
        while most is None or len(records) < most:
            one, error = await self._probe(partition, 1)
            if error is not None or not one:
                break
            records += one
        return records

    async def _probe(self, partition: TopicPartition, most: int | None) -> tuple[list[Any], Exception | None]:
        try:
            taken = cast(Polled, await super().getmany(partition, timeout_ms=PROBE_MS, max_records=most))
        except ConsumerStoppedError:
            raise
        except Exception as error:
            if not _cannot_unpack(error):
                raise
            return [], error
        return taken.get(partition, []), None

    def _hold(self, partition: TopicPartition, error: Exception) -> None:
        self.pause(partition)
        self._held[partition] = time.monotonic()
        name = f"{partition.topic}-{partition.partition}"
        self._health.hold_partition(name, type(error).__name__)
        self._metrics.held_partitions.set(len(self._held))
        log.error(
            "partition_unreadable",
            topic=partition.topic,
            partition=partition.partition,
            error=type(error).__name__,
            advice="a record there cannot be unpacked; install its codec, or move the group's offset past it",
        )

    def _release_rested(self) -> None:
        for partition, since in list(self._held.items()):
            lost = partition not in self.assignment()
            if lost or time.monotonic() - since > HELD_SECONDS:
                del self._held[partition]
                self._health.release_partition(f"{partition.topic}-{partition.partition}")
                self._metrics.held_partitions.set(len(self._held))
                if not lost:
                    self.resume(partition)

    def _report_lag(self) -> None:
        for partition in self.assignment() & self._taken.keys():
            highwater = self.highwater(partition)
            if highwater is not None:
                lag = max(0, highwater - self._taken[partition])
                self._metrics.lag.labels(partition.topic, str(partition.partition)).set(lag)


def _cannot_unpack(error: Exception) -> bool:
    return isinstance(error, UnsupportedCodecError | CorruptRecordException) or not isinstance(error, KafkaError)


class Assignment(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka has no types
    """Tells the worker's health what it is assigned, and says loudly when records expired before they were read.

    `inputs`: the topics in which a start above 0 is a hole for a group that has never read; a replay is for others.
    `on_hole` is told of a hole, so that a worker which can make up for it does.
    """

    def __init__(
        self, health: Health, metrics: Metrics, inputs: Collection[str], on_hole: Callable[[], Awaitable[None]]
    ) -> None:
        self._inputs = inputs
        self._health = health
        self._metrics = metrics
        self._on_hole = on_hole
        self.consumer: AIOKafkaConsumer | None = None

    async def on_partitions_revoked(self, revoked: frozenset[TopicPartition]) -> None:
        """aiokafka's callback before a rebalance."""
        self._health.assigned = 0
        self._health.unavailable = self._health.held = None

    async def on_partitions_assigned(self, assigned: frozenset[TopicPartition]) -> None:
        """aiokafka's callback after a rebalance."""
        self._health.assigned = len(assigned)
        consumer = self.consumer
        if consumer is None or not assigned:
            return
        starts: Mapping[TopicPartition, int] = await consumer.beginning_offsets(list(assigned))
        holes = 0
        for partition, start in starts.items():
            committed = await consumer.committed(partition)
            if committed is None and partition.topic in self._inputs:
                committed = 0
            if committed is not None and committed < start:
                self._say_expired(partition, start - committed)
                holes += 1
        if holes:
            await self._on_hole()

    def _say_expired(self, partition: TopicPartition, records: int) -> None:
        self._metrics.expired.labels(partition.topic, str(partition.partition)).inc(records)
        self._health.expired += records
        log.error(
            "records_expired_unread",
            topic=partition.topic,
            partition=partition.partition,
            offsets=records,
            advice="the topic's retention removed records that this worker had not read; read the source topics again",
        )


class StageBroker(KafkaBroker):
    """FastStream's broker, whose subscribers consume with a PartitionConsumer and tell `assignment` of it."""

    def __init__(self, *args: Any, make_consumer: Callable[..., AIOKafkaConsumer], **options: Any) -> None:
        super().__init__(*args, consumer_only=True, **options)
        self._make_consumer = make_consumer

    async def _connect(self) -> Callable[..., AIOKafkaConsumer]:
        builder = await super()._connect()
        assert isinstance(builder, partial)
        made = partial(self._make_consumer, *builder.args, **builder.keywords)
        self.config.broker_config.builder = made
        return made


def stage_broker(
    worker: str, settings: WorkerSettings, make_consumer: Callable[..., AIOKafkaConsumer], **options: Any
) -> StageBroker:
    """The broker of a worker, whose handlers get the records as aiokafka hands them over."""
    return StageBroker(
        client_options(settings.kafka)["bootstrap_servers"],
        make_consumer=make_consumer,
        security=security(settings.kafka),
        client_id=f"headrace-{worker}",
        allow_auto_create_topics=False,
        graceful_timeout=GRACE_SECONDS,
        parser=_parse_raw,
        decoder=_raw_records,
        apply_types=False,
        serializer=None,
        logger=logging.getLogger("headrace.faststream"),
        **options,
    )


def subscribe(
    broker: StageBroker,
    handle: Callable[[Any], Awaitable[None]],
    *topics: str,
    pattern: str | None = None,
    group: str,
    max_records: int,
    assignment: Assignment,
    settings: WorkerSettings,
) -> None:
    """Calls `handle` with each batch of the topics, or of those that `pattern` matches, and commits what it has settled
    and nothing else: it raises NackMessage to get the batch again.
    """
    session_timeout_ms = int(settings.kafka.session_timeout * 1000)
    broker.subscriber(
        *topics,
        pattern=pattern,
        batch=True,
        batch_timeout_ms=1,
        max_records=max_records,
        group_id=group,
        ack_policy=AckPolicy.NACK_ON_ERROR,
        auto_offset_reset="earliest",
        max_poll_interval_ms=MAX_POLL_INTERVAL_MS,
        session_timeout_ms=session_timeout_ms,
        heartbeat_interval_ms=session_timeout_ms // 15,
        listener=assignment,
    )(handle)


async def _parse_raw(records: tuple[KafkaRecord, ...], original: Any) -> KafkaAckableMessage:
    """FastStream's own parser decodes headers and raises outside the handler on a null or binary one."""
    return KafkaAckableMessage(body=b"", raw_message=records, consumer=original.__self__._consumer)


async def _raw_records(message: KafkaAckableMessage) -> Any:
    """What the handler gets: the batch's records as aiokafka hands them over."""
    return message.raw_message
