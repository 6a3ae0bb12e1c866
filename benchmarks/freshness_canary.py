"""The product's canary, in this process, with each of its measurements kept."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from headrace_canary.app import ALIVE_WITHIN, Canary
from headrace_canary.group_lags import GroupLags
from headrace_canary.metrics import CanaryMetrics
from headrace_canary.rounds import Shown
from headrace_canary.settings import CanarySettings
from headrace_canary.targets import openers
from headrace_runtime.health import Health
from headrace_schemas.fields import RecordKind
from headrace_worker.opened_stores import opened

LAST_WITHIN = 90.0


@dataclass(frozen=True)
class Seen:
    """A search showed a change. `published`: seconds since 1970; `seconds`: from then until the search showed it."""

    store: str
    kind: RecordKind
    published: float
    seconds: float


class KeptMeasurements(CanaryMetrics):
    """The metrics of the canary, and each measurement beside them."""

    def __init__(self, health: Health, lags: GroupLags, settings: CanarySettings) -> None:
        super().__init__([health], settings.canary.objective, lags)
        self.seen_changes: list[Seen] = []
        self._expected: set[tuple[str, RecordKind]] = set()
        self._news = asyncio.Event()

    def expect(self, store: str, kind: RecordKind) -> None:
        """This search is measured."""
        super().expect(store, kind)
        self._expected.add((store, kind))

    def shown(self, store: str, kind: RecordKind, shown: Shown) -> None:
        """A search shows this change."""
        super().shown(store, kind, shown)
        self.seen_changes.append(Seen(store, kind, time.time() - shown.seconds, shown.seconds))
        self._news.set()

    async def until_shown(self, published: float) -> None:
        """Returns when each search has shown every change up to this time: a newer change shows the older ones. Raises
        TimeoutError.
        """
        async with asyncio.timeout(LAST_WITHIN):
            while self._expected - {(one.store, one.kind) for one in self.seen_changes if one.published > published}:
                self._news.clear()
                await self._news.wait()


@asynccontextmanager
async def measuring(settings: CanarySettings) -> AsyncIterator[KeptMeasurements]:
    """The canary measures while the block runs."""
    found = openers()
    health, lags = Health(alive_within=ALIVE_WITHIN), GroupLags()
    metrics = KeptMeasurements(health, lags, settings)
    async with opened(found) as stores:
        running = asyncio.create_task(Canary(settings, stores, health, metrics, lags).run())
        try:
            await metrics.until_shown(0)
            yield metrics
        finally:
            running.cancel()
            await asyncio.wait([running])
