"""The topics of a consumer group that are held: the path of a batch holds and releases them, the consumer pauses them.

The records of a held topic stay uncommitted, from the first one of the batch that was set aside. The other topics of
the group go on. Every `HOLD_PAUSE` seconds the consumer reads the topic again, and the path finds out whether the cause
is gone; as long as it is not, nothing of the topic is published.
"""

import time
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass

import structlog
from aiokafka import TopicPartition

from headrace_runtime.decoder import KafkaRecord
from headrace_runtime.health import Health
from headrace_runtime.metrics import Metrics

log = structlog.get_logger(__name__)

HOLD_PAUSE = 5.0
"""Seconds until a held topic is read again."""


@dataclass(frozen=True, slots=True)
class Cause:
    """Why a topic is held. `reason`: in words, without a value of a record. `fingerprint`: that of the rejections."""

    reason: str
    fingerprint: str | None = None


class Holds:
    """The held topics of one consumer group of a worker, each with its cause."""

    def __init__(
        self, worker: str, health: Health, metrics: Metrics, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._worker = worker
        self._health = health
        self._metrics = metrics
        self._clock = clock
        self._until: dict[str, float] = {}
        self._set_back: dict[TopicPartition, int] = {}
        self._set_aside: dict[TopicPartition, int] = {}
        self.causes: dict[str, Cause] = {}
        self.all_paused = False
        """The worker is paused: no topic may be read."""

    def hold(self, topic: str, cause: Cause, records: Iterable[KafkaRecord]) -> None:
        """Holds the topic, or holds it again. `records`: those of the topic in the batch; they are read again."""
        if topic not in self.causes:
            if cause.fingerprint is not None:
                self._metrics.breaker_opened.labels(topic).inc()
            log.error(
                "topic_held",
                topic=topic,
                why=cause.reason,
                fingerprint=cause.fingerprint,
                advice=f"remove the cause, or run headrace work {self._worker} --allow-rejects",
            )
        self.causes[topic] = cause
        self._until[topic] = self._clock() + HOLD_PAUSE
        self._health.problem("held topic", topic, cause.reason)
        self._metrics.hold(topic)
        for record in records:
            partition = TopicPartition(record.topic, record.partition)
            self._set_back[partition] = min(record.offset, self._set_back.get(partition, record.offset))
            self._set_aside[partition] = self._set_back[partition]

    def set_aside(self) -> Mapping[TopicPartition, int]:
        """The partitions of held topics of which records wait, each with the first of their offsets."""
        return dict(self._set_aside)

    def release(self, partitions: Collection[TopicPartition]) -> None:
        """Nothing is set aside of these partitions any more: their records are settled or gone, or another copy reads
        them now. A topic is released when nothing is set aside of any of its partitions.
        """
        for partition in partitions:
            self._set_aside.pop(partition, None)
        for topic in self.causes.keys() - {partition.topic for partition in self._set_aside}:
            del self.causes[topic], self._until[topic]
            self._health.solved("held topic", topic)
            self._metrics.release(topic)
            log.info("topic_released", topic=topic)

    def paused(self) -> Collection[str]:
        """The topics that must not be read now. The other held topics are read again."""
        now = self._clock()
        return {topic for topic, until in self._until.items() if now < until}

    def take_set_back(self) -> Mapping[TopicPartition, int]:
        """The partitions whose records were set aside, each with the offset to read next. Each is returned once."""
        taken, self._set_back = self._set_back, {}
        return taken
