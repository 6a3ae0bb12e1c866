"""The partitions that are held because a record of them cannot be unpacked."""

import time

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import CorruptRecordException, KafkaError, UnsupportedCodecError

from headrace_runtime.health import Health
from headrace_runtime.metrics import Metrics

log = structlog.get_logger(__name__)

HELD_SECONDS = 30.0
"""How long such a partition is held before it is tried again."""


class UnreadablePartitions:
    """Pauses partitions of a consumer, reports each with an advice, and resumes it after `HELD_SECONDS`."""

    def __init__(self, consumer: AIOKafkaConsumer, health: Health, metrics: Metrics) -> None:
        self._consumer = consumer
        self._health = health
        self._metrics = metrics
        self._since: dict[TopicPartition, float] = {}

    def held(self) -> frozenset[TopicPartition]:
        """The partitions that are held now."""
        return frozenset(self._since)

    def hold(self, partition: TopicPartition, error: Exception) -> None:
        """Pauses the partition. `error`: what aiokafka has raised for it."""
        self._consumer.pause(partition)
        self._since[partition] = time.monotonic()
        name = f"{partition.topic}-{partition.partition}"
        self._health.problem("held partition", name, f"{type(error).__name__}: {_advice(error)}")
        self._metrics.held_partitions.set(len(self._since))
        log.error(
            "partition_unreadable",
            topic=partition.topic,
            partition=partition.partition,
            error=type(error).__name__,
            advice=_advice(error),
        )

    def release(self) -> None:
        """Resumes the partitions that are to be tried again, and forgets those that a rebalance has taken away."""
        for partition, since in list(self._since.items()):
            lost = partition not in self._consumer.assignment()
            if lost or time.monotonic() - since > HELD_SECONDS:
                del self._since[partition]
                self._health.solved("held partition", f"{partition.topic}-{partition.partition}")
                self._metrics.held_partitions.set(len(self._since))
                if not lost:
                    self._consumer.resume(partition)


def cannot_unpack(error: Exception) -> bool:
    """Whether the error of a poll is about a record, and not about Kafka's availability."""
    return isinstance(error, UnsupportedCodecError | CorruptRecordException) or not isinstance(error, KafkaError)


def _advice(error: Exception) -> str:
    if isinstance(error, UnsupportedCodecError):
        return "a batch there is compressed with a codec that is not installed; install it and restart the worker"
    if isinstance(error, CorruptRecordException):
        return "a batch there is damaged; restore it on its broker, or move the group's offset past it"
    return "a batch there cannot be unpacked; move the group's offset past it"
