"""Publishes the changes of the canary to the source topics."""

import asyncio
import time
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import structlog
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from headrace_canary.rounds import Round
from headrace_canary.targets import Target
from headrace_clients.kafka import producer
from headrace_runtime.health import Health
from headrace_schemas.canary import CANARY_ID, canary_text
from headrace_schemas.changes import CHANGES, ID_FIELDS
from headrace_schemas.fields import MAX_VERSION, Kind, Op
from headrace_schemas.headers import schema_pair
from headrace_schemas.topics import SOURCE_NAMES, Topics
from headrace_worker.settings import KafkaSettings

log = structlog.get_logger(__name__)

UPSERTS = 5
"""Changes between two deletes."""
PATIENCE = 2
"""Intervals. So long a delete waits until every search has shown what was published before it, and the change after a
delete until every search shows the delete.
"""
ACKNOWLEDGED_WITHIN = 10.0
TEXT_FIELDS: dict[Kind, str] = {"product": "title", "keyword": "text"}


class Versions:
    """The versions of the canary: the clock's milliseconds, and always above every version so far.

    `published`: the newest that was returned here.
    """

    def __init__(self) -> None:
        self.published = 0
        self._above = 0

    def next(self) -> int:
        """A version above all others."""
        least = 1 + max(self.published, self._above)
        self.published = min(max(time.time_ns() // 1_000_000, least), MAX_VERSION)
        return self.published

    def above(self, version: int) -> None:
        """There is a change of this version: the clock was ahead when it was made, or somebody else has made it."""
        self._above = max(self._above, version)


class Publication:
    """Publishes a change of both entities every `interval` seconds: some upserts, then a delete."""

    def __init__(
        self,
        kafka: KafkaSettings,
        topics: Topics,
        interval: float,
        versions: Versions,
        targets: Sequence[Target],
        health: Health,
    ) -> None:
        self._kafka = kafka
        self._topics = topics
        self._interval = interval
        self._versions = versions
        self._targets = targets
        self._health = health

    async def run(self) -> None:
        """Publishes until it is cancelled. Raises KafkaError if there is no connection at first."""
        client = producer(self._kafka, linger_ms=0)
        await client.start()
        try:
            while True:
                for number in range(UPSERTS):
                    await self._round(client, "upsert", settle=number == 0)
                await self._round(client, "delete", settle=True)
        finally:
            await client.stop()

    async def _round(self, client: AIOKafkaProducer, change: Op, *, settle: bool) -> None:
        if settle:
            with suppress(TimeoutError):
                async with asyncio.timeout(PATIENCE * self._interval):
                    await asyncio.gather(*(target.rounds.settled() for target in self._targets))
        started = time.monotonic()
        await self._publish(client, Round(self._versions.next(), change, started))
        await asyncio.sleep(max(0.0, started + self._interval - time.monotonic()))

    async def _publish(self, client: AIOKafkaProducer, published: Round) -> None:
        try:
            async with asyncio.timeout(ACKNOWLEDGED_WITHIN):
                await asyncio.gather(*(self._sent(client, kind, published) for kind in SOURCE_NAMES))
        except (KafkaError, OSError, TimeoutError) as error:
            # Whether it was published is not known. A search that shows it shows every change before it.
            self._health.problem("kafka", "kafka", f"the canary is not acknowledged ({type(error).__name__})")
            log.warning("canary_not_acknowledged", version=published.version, error=type(error).__name__)
            return
        self._health.solved("kafka", "kafka")
        for target in self._targets:
            target.rounds.add(published)

    async def _sent(self, client: AIOKafkaProducer, kind: Kind, published: Round) -> None:
        model = CHANGES[kind]
        fields: dict[str, Any] = {"op": published.change, "version": published.version, ID_FIELDS[kind]: CANARY_ID}
        if published.change == "upsert":
            fields[TEXT_FIELDS[kind]] = canary_text(published.version)
        record = model.model_validate(fields | {"occurred_at": datetime.now(UTC)})
        value = record.model_dump_json(exclude_none=True).encode()
        await client.send_and_wait(
            self._topics.source(kind), value, key=CANARY_ID.encode(), headers=[schema_pair(model)]
        )
