"""The observer `canary`."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager

import structlog
from starlette.applications import Starlette
from starlette.routing import Route

from headrace_canary.group_lags import GroupLags, read_regularly
from headrace_canary.metrics import NAME, CanaryMetrics
from headrace_canary.publication import Publication, Versions
from headrace_canary.settings import CanarySettings
from headrace_canary.targets import AnyStore, Target, openers, stored_version, targets, unmeasured
from headrace_canary.watch import watches
from headrace_clients.group_lag import installed_groups
from headrace_runtime.health import Health
from headrace_runtime.kafka_start import KafkaStart
from headrace_runtime.routes import routes
from headrace_runtime.turn import Turn
from headrace_schemas.topics import SOURCE_NAMES
from headrace_worker.opened_stores import opened
from headrace_worker.stage import Unavailable
from headrace_worker.worker import Observer

log = structlog.get_logger(__name__)

ALIVE_WITHIN = 30.0
BEAT_SECONDS = 1.0
PAUSE_AFTER_ERROR = 5.0
STORED_WITHIN = 10.0


class Canary:
    """Measures the searches of these stores, by worker name, while it is this copy's turn."""

    def __init__(
        self, settings: CanarySettings, stores: Mapping[str, AnyStore], health: Health, metrics: CanaryMetrics,
        lags: GroupLags,
    ) -> None:  # fmt: skip
        self._settings = settings
        self._stores = stores
        self._health = health
        self._metrics = metrics
        self._lags = lags
        self._versions = Versions()
        self._groups = installed_groups(settings)
        self._targets: Sequence[Target] = list(targets(stores, settings.canary.missing_after))
        for target in self._targets:
            metrics.expect(target.store, target.kind)
        for name in unmeasured():
            health.note(name, f"{name}: its searches are not measured, because its worker does not take the canary")

    async def run(self) -> None:
        """Works until it is cancelled. After an error it starts again."""
        topics = [self._settings.topics.source(kind) for kind in SOURCE_NAMES]
        while True:
            try:
                group = f"{self._settings.topic_prefix}{NAME}"
                await KafkaStart(self._settings.kafka, [self._health]).ready(group, topics)
                await Turn(self._settings, group, self._health, self._measure).run()
            except Exception as error:
                log.exception("canary_failed", error=type(error).__name__)
                self._health.problem("kafka", "kafka", type(error).__name__)
            await asyncio.sleep(PAUSE_AFTER_ERROR)

    async def _measure(self) -> None:
        settings = self._settings
        await asyncio.gather(*(self._read_version(name, store) for name, store in self._stores.items()))
        interval = settings.canary.interval
        publication = Publication(
            settings.kafka, settings.topics, interval, self._versions, self._targets, self._health
        )
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(publication.run())
                group.create_task(read_regularly(settings.kafka, self._groups, self._lags))
                for watch in watches(self._targets, self._versions, self._metrics, self._health):
                    group.create_task(watch.run())
        finally:
            for target in self._targets:
                target.rounds.clear()
            self._metrics.forget_seen()
            self._lags.clear()

    async def _read_version(self, name: str, store: AnyStore) -> None:
        """The versions go on above what is stored, also if the clock was set back. A store that does not answer is
        asked by its searches again.
        """
        try:
            async with asyncio.timeout(STORED_WITHIN):
                self._versions.above(await stored_version(store))
        except (Unavailable, TimeoutError) as error:
            log.warning("canary_version_not_read", store=name, error=str(error))


def application(settings: CanarySettings) -> Starlette:
    """The canary with its routes. Raises ValidationError if the settings of a store's worker are wrong."""
    found = openers()
    for worker in found:
        worker.settings()
    health, lags = Health(alive_within=ALIVE_WITHIN), GroupLags()
    metrics = CanaryMetrics([health], settings.canary.objective, lags, settings.telemetry.revision)

    @asynccontextmanager
    async def lifespan(application: Starlette) -> AsyncIterator[None]:
        async with opened(found) as stores:
            working = asyncio.create_task(Canary(settings, stores, health, metrics, lags).run())
            health.needs(working)
            beating = asyncio.create_task(_beat(health))
            log.info("worker_started", stores=sorted(stores))
            try:
                yield
            finally:
                for task in (working, beating):
                    task.cancel()
                await asyncio.wait([working, beating])
        log.info("worker_stopped")

    return Starlette(routes=[Route(path, route) for path, route in routes(health, metrics)], lifespan=lifespan)


async def _beat(health: Health) -> None:
    """A canary waits for a store or for Kafka as long as it must, and is alive meanwhile."""
    while True:
        health.beat()
        await asyncio.sleep(BEAT_SECONDS)


canary = Observer(NAME, settings=CanarySettings, application=application)
