"""Follows whether the worker is paused: `headrace pause` and `headrace resume` publish it on a topic of their own.

A paused worker stays in its consumer groups with its partitions and takes no record. The topic is durable, so that a
restart does not end a pause.
"""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError
from pydantic import ValidationError

from headrace_clients.kafka import consumer_options
from headrace_clients.topic_reader import UnknownTopic, partitions_of
from headrace_runtime.health import Health, spoken
from headrace_runtime.holds import Holds
from headrace_schemas.pauses import Pause
from headrace_worker.settings import CommonSettings

log = structlog.get_logger(__name__)

FETCH_MS = 5000
"""How long a broker waits for a new record before it answers: the worker asks this often, and hears at once."""
AGAIN_AFTER = 5.0
"""Seconds until the topic is opened again after an error, or if it does not exist."""


class Pauses:
    """The pause of one worker, which it reports to each of its consumer groups."""

    def __init__(self, worker: str, settings: CommonSettings) -> None:
        self._worker = worker
        self._settings = settings
        self._groups: list[tuple[Holds, Health]] = []
        self._known = asyncio.Event()
        self._now: Pause | None = None

    def follow(self, holds: Holds, health: Health) -> None:
        """Adds a consumer group of the worker."""
        self._groups.append((holds, health))

    async def known(self) -> None:
        """Returns when it is known whether the worker is paused. No record may be taken before."""
        await self._known.wait()

    async def run(self) -> None:
        """Follows the topic until it is cancelled. Without Kafka the last state stays.

        Without the topic nothing has ever been paused: an installation of an earlier release does not have it.
        """
        while True:
            try:
                await self._follow()
            except UnknownTopic:
                self._report(None)
            except (KafkaError, OSError, TimeoutError) as error:
                log.info("pauses_not_read", raised=type(error).__name__)
            await asyncio.sleep(AGAIN_AFTER)

    async def _follow(self) -> None:
        partitions = await partitions_of(self._settings.kafka, [self._settings.topics.pauses])
        consumer = AIOKafkaConsumer(
            **consumer_options(self._settings.kafka), auto_offset_reset="earliest", fetch_max_wait_ms=FETCH_MS
        )
        consumer.assign(partitions)
        try:
            await consumer.start()
            ends = await consumer.end_offsets(partitions)
            newest: Pause | None = None
            while True:
                if await _reached(consumer, ends):
                    self._report(newest)
                polled: Mapping[TopicPartition, Sequence[Any]] = await consumer.getmany(timeout_ms=FETCH_MS)
                for record in (record for records in polled.values() for record in records):
                    newest = self._read(record) or newest
        finally:
            await consumer.stop()

    def _read(self, record: Any) -> Pause | None:
        """The record, if it is about this worker."""
        if record.key != self._worker.encode():
            return None
        try:
            return Pause.model_validate_json(record.value or b"")
        except ValidationError:
            log.error("pause_not_readable", topic=record.topic, partition=record.partition, offset=record.offset)
            return None

    def _report(self, newest: Pause | None) -> None:
        now = newest if newest is not None and newest.paused else None
        if now is not None and now != self._now:
            log.warning("worker_paused", by=now.actor, why=now.reason, advice=f"headrace resume {self._worker}")
        if now is None and self._now is not None:
            log.info("worker_resumed")
        self._now = now
        for holds, health in self._groups:
            holds.all_paused = now is not None
            if now is None:
                health.solved("paused", self._worker)
            else:
                why = f": {now.reason}" if now.reason else ""
                health.problem("paused", self._worker, f"by {now.actor} at {spoken(now.at)}{why}")
        self._known.set()


async def _reached(consumer: AIOKafkaConsumer, ends: Mapping[TopicPartition, int]) -> bool:
    return all([await consumer.position(partition) >= end for partition, end in ends.items()])
