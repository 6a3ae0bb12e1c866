"""The observer `verify`, which `headrace work` runs beside the workers: it compares every store all the time."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import structlog
from starlette.applications import Starlette
from starlette.routing import Route

from headrace_runtime.health import Health
from headrace_runtime.kafka_start import KafkaStart
from headrace_runtime.routes import routes
from headrace_runtime.turn import Turn
from headrace_schemas.topics import SOURCE_NAMES
from headrace_verify.compared_store import comparable
from headrace_verify.metrics import NAME, VerifyMetrics
from headrace_verify.settings import VerifySettings
from headrace_verify.watch import Watch
from headrace_worker.worker import Observer

log = structlog.get_logger(__name__)

ALIVE_WITHIN = 30.0
BEAT_SECONDS = 1.0
PAUSE_AFTER_ERROR = 5.0


def application(settings: VerifySettings) -> Starlette:
    """The comparison with its routes. Raises ValidationError if the settings of a store's worker are wrong."""
    for worker in comparable():
        worker.settings()
    health = Health(alive_within=ALIVE_WITHIN)
    metrics = VerifyMetrics([health], settings.verify.cycle, settings.telemetry.revision)

    @asynccontextmanager
    async def lifespan(application: Starlette) -> AsyncIterator[None]:
        working = asyncio.create_task(_work(settings, health, metrics))
        beating = asyncio.create_task(_beat(working, health))
        log.info("worker_started")
        try:
            yield
        finally:
            for task in (working, beating):
                task.cancel()
            await asyncio.wait([working, beating])
        log.info("worker_stopped")

    return Starlette(routes=[Route(path, route) for path, route in routes(health, metrics)], lifespan=lifespan)


async def _work(settings: VerifySettings, health: Health, metrics: VerifyMetrics) -> None:
    """Works until it is cancelled. After an error it starts again."""
    topics = [settings.topics.source(kind) for kind in SOURCE_NAMES]
    group = f"{settings.topic_prefix}{NAME}"
    while True:
        try:
            await KafkaStart(settings.kafka, [health]).ready(group, topics)
            await Turn(settings, group, health, Watch(settings, health, metrics).run).run()
        except Exception as error:
            log.exception("verify_failed", error=type(error).__name__)
            health.problem("kafka", "kafka", type(error).__name__)
        await asyncio.sleep(PAUSE_AFTER_ERROR)


async def _beat(working: "asyncio.Task[None]", health: Health) -> None:
    """A process whose task has ended is not alive."""
    while not working.done():
        health.beat()
        await asyncio.sleep(BEAT_SECONDS)


verify = Observer(NAME, settings=VerifySettings, application=application)
