"""One copy of an observer works at a time: the one to which Kafka has assigned partition 0 of the source topic of
products.

The copies are members of one consumer group, as those of a worker are, but they read nothing: the partitions are paused
and never committed.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.abc import ConsumerRebalanceListener

from headrace_clients.copy_address import assignors
from headrace_clients.kafka import consumer_options
from headrace_runtime.health import Health
from headrace_worker.settings import ProcessSettings

log = structlog.get_logger(__name__)

POLL_MS = 200
WAITS = "another copy works; this one waits for its turn"

Work = Callable[[], Awaitable[None]]


class Turn(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka has no types
    """Runs `work` while it is this copy's turn. `group`: the consumer group of the copies."""

    def __init__(self, settings: ProcessSettings, group: str, health: Health, work: Work) -> None:
        self._health = health
        self._work = work
        self._topic = settings.topics.source("product")
        session_ms = int(settings.kafka.session_timeout * 1000)
        self._consumer = AIOKafkaConsumer(
            **consumer_options(settings.kafka),
            group_id=group,
            auto_offset_reset="latest",
            session_timeout_ms=session_ms,
            heartbeat_interval_ms=session_ms // 15,
            partition_assignment_strategy=assignors(settings.http),
        )
        self._working: asyncio.Task[None] | None = None

    async def run(self) -> None:
        """Takes part in the group until it is cancelled. Raises the errors of aiokafka, and those of the work."""
        self._consumer.subscribe([self._topic], listener=self)
        try:
            await self._consumer.start()
            while True:
                # Kafka removes a member that does not poll. The partitions are paused, so there are no records.
                await self._consumer.getmany(timeout_ms=POLL_MS)
                if self._working is not None and self._working.done():
                    self._working.result()
        finally:
            await self._stop()
            await self._consumer.stop()

    async def on_partitions_revoked(self, revoked: Any) -> None:
        """The turn ends with each rebalance."""
        self._health.assigned = 0
        await self._stop()

    async def on_partitions_assigned(self, assigned: Any) -> None:
        """Begins to work with partition 0."""
        self._consumer.pause(*assigned)
        self._health.assigned = len(assigned)
        mine = TopicPartition(self._topic, 0) in assigned
        self._health.note("turn", None if mine else WAITS)
        if mine and self._working is None:
            log.info("turn_begins")
            self._working = asyncio.ensure_future(self._work())

    async def _stop(self) -> None:
        working, self._working = self._working, None
        if working is not None:
            working.cancel()
            await asyncio.wait([working])
