"""The worker as a FastStream application: one batch subscriber, which commits what PostgreSQL has committed."""

import gc
import re
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import structlog
from faststream.asgi import AsgiFastStream
from faststream.exceptions import NackMessage

from headrace_dead_letters.settings import DeadLettersSettings
from headrace_letters.index import LetterIndex
from headrace_letters.index_batch import index_records
from headrace_runtime.app import GC_THRESHOLD
from headrace_runtime.consumer import Assignment, PartitionConsumer, stage_broker, subscribe
from headrace_runtime.decoder import KafkaRecord
from headrace_runtime.health import Health
from headrace_runtime.metrics import Metrics
from headrace_runtime.retry import Stopping, retrying
from headrace_runtime.routes import routes
from headrace_runtime.traces import Traces
from headrace_worker.stage import Unavailable
from headrace_worker.worker import DEAD_LETTERS

log = structlog.get_logger(__name__)

NEW_TOPICS_WITHIN_MS = 30_000
"""How long the first letters of a worker that was installed later may wait to be noticed."""


class Indexing:
    """Takes batches of raw records into the index."""

    def __init__(self, settings: DeadLettersSettings, index: LetterIndex, health: Health, metrics: Metrics) -> None:
        self._settings = settings
        self._index = index
        self._health = health
        self._metrics = metrics
        self.stopping = Stopping()

    async def handle(self, records: Sequence[KafkaRecord]) -> None:
        """Returns when PostgreSQL has committed what the records say.

        Raises NackMessage when it does not answer: nothing is committed to Kafka then, and they are read again.
        """
        started = time.monotonic()
        letters = 0
        try:
            async for attempt in retrying(self._settings.batch, self.stopping, self._on_unavailable):
                with attempt:
                    letters = await index_records(self._index, self._settings.topics, records)
        except Unavailable as error:
            log.warning("batch_given_back", store=error.store, records=len(records))
            raise NackMessage from error
        self._settled(letters, len(records) - letters, time.monotonic() - started)

    def _on_unavailable(self, error: Unavailable) -> None:
        self._health.beat()
        self._health.unavailable = error.store
        self._metrics.unavailable.labels(error.store).inc()
        log.warning("store_unavailable", store=error.store, detail=error.detail)

    def _settled(self, letters: int, receipts: int, seconds: float) -> None:
        self._health.settled()
        self._metrics.records.labels("dead_letter", "applied").inc(letters)
        self._metrics.records.labels("receipts", "applied").inc(receipts)
        self._metrics.last_settled.set(datetime.now(UTC).timestamp())
        self._metrics.batch_seconds.observe(seconds)
        self._metrics.batch_records.observe(letters + receipts)
        log.info("batch_settled", records=letters + receipts, seconds=round(seconds, 3))


def build(settings: DeadLettersSettings, index: LetterIndex) -> AsgiFastStream:
    """The worker's application. It consumes from start-up to SIGTERM; the index is closed with it."""
    metrics = Metrics(DEAD_LETTERS)
    health = Health(alive_within=3 * settings.batch.give_back_after)
    indexing = Indexing(settings, index, health, metrics)
    assignment = Assignment(health, metrics, (), _nothing_to_repair)

    def consumer(*args: Any, **options: Any) -> PartitionConsumer:
        made = PartitionConsumer(*args, health=health, metrics=metrics, wait_ms=settings.batch.wait_ms, **options)
        assignment.consumer = made
        return made

    broker = stage_broker(DEAD_LETTERS, settings, consumer, metadata_max_age_ms=NEW_TOPICS_WITHIN_MS)
    traces = Traces(DEAD_LETTERS, settings.telemetry)

    async def handle(records: Any) -> None:
        with traces.batch(records):
            await indexing.handle(records)

    subscribe(
        broker,
        handle,
        pattern=topic_pattern(settings),
        group=f"{settings.topic_prefix}{DEAD_LETTERS}",
        max_records=settings.batch.max_records,
        assignment=assignment,
        settings=settings,
    )

    @asynccontextmanager
    async def lifespan() -> AsyncIterator[None]:
        gc.set_threshold(GC_THRESHOLD)
        log.info("worker_started", topics=topic_pattern(settings))
        yield
        await index.close()
        traces.close()
        log.info("worker_stopped")

    return AsgiFastStream(
        broker,
        lifespan=lifespan,
        on_shutdown=[indexing.stopping.set],
        asgi_routes=routes(health, metrics),
        logger=None,
    )


def topic_pattern(settings: DeadLettersSettings) -> str:
    """Matches the dead letters of every worker there is or will be, the settings' further topics, and the receipts."""
    further = [re.escape(topic) for topic in (settings.topics.receipts, *settings.dead.further_topics)]
    return f"^(?:{re.escape(settings.topics.dead(''))}.+|{'|'.join(further)})$"


async def _nothing_to_repair() -> None:
    """Letters that expired unread are said loudly; nothing can bring them back."""
