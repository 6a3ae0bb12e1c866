"""Compares every store all the time, a slice of its keys after the other, so that each is compared once in a cycle."""

import asyncio
import time
from collections.abc import Awaitable, Sequence

import structlog

from headrace_runtime.health import Health
from headrace_schemas.fields import Kind
from headrace_verify.compared_store import ComparedStore, open_compared
from headrace_verify.comparison import KINDS, read_topics, second_look, sort_by_keys
from headrace_verify.entity_comparison import look
from headrace_verify.fold import Fold, open_fold
from headrace_verify.link_comparison import ComparedLinks, LinkComparison, open_link_stores
from headrace_verify.link_fold import LinkFold, open_link_fold
from headrace_verify.metrics import VerifyMetrics
from headrace_verify.report import Found, StoreReport
from headrace_verify.settings import VerifySettings
from headrace_worker.stage import BatchRejected, Unavailable

log = structlog.get_logger(__name__)

LOGGED = 20
"""Differences of a comparison that the log names."""
Slice = tuple[Kind, bytes, bytes | None]


class Watch:
    """Compares until it is cancelled. Raises Unavailable if the topics cannot be read."""

    def __init__(self, settings: VerifySettings, health: Health, metrics: VerifyMetrics) -> None:
        self._settings = settings
        self._health = health
        self._metrics = metrics

    async def run(self) -> None:
        settings = self._settings
        try:
            async with (
                open_fold(settings) as fold,
                open_link_fold(settings) as link_fold,
                open_compared(settings) as stores,
                open_link_stores() as links,
            ):
                while True:
                    await self._cycle(fold, link_fold, stores, links)
        finally:
            self._metrics.forget()

    async def _cycle(
        self, fold: Fold, link_fold: LinkFold, stores: Sequence[ComparedStore], links: Sequence[ComparedLinks]
    ) -> None:
        """Every store once. The link sets of a store are its last slice."""
        began = time.monotonic()
        await read_topics(fold)
        slices = {store.name: self._slices(fold, store) for store in stores}
        steps = sum(map(len, slices.values())) + len(links)
        done = 0
        reports: dict[str, StoreReport] = {}
        for store in stores:
            reports[store.name] = report = StoreReport(store.name)
            for one in slices[store.name]:
                await self._attempt(report, self._entities(fold, store, one, report))
                done += 1
                await self._rest(began, done / steps)
        for linked in links:
            report = reports.setdefault(linked.name, StoreReport(linked.name))
            await self._attempt(report, self._links(fold, link_fold, linked, report))
            done += 1
            await self._rest(began, done / steps)
        for report in reports.values():
            self._conclude(report)

    def _slices(self, fold: Fold, store: ComparedStore) -> list[Slice]:
        sort_by_keys(fold, store)
        found: list[Slice] = []
        for kind in KINDS:
            cuts = fold.file.boundaries(kind, self._settings.verify.slice)
            found += [(kind, after, upto) for after, upto in zip([b"", *cuts], [*cuts, None], strict=True)]
        return found

    async def _entities(self, fold: Fold, store: ComparedStore, one: Slice, report: StoreReport) -> int:
        kind, after, upto = one
        await fold.read()
        await store.scan.refresh()
        sort_by_keys(fold, store)
        found = await look(fold, store, kind, after, upto)
        report.compared += found.compared
        within = self._settings.verify.settle_within
        await second_look(self._settings, fold, store, {kind: found.suspects}, within, report)
        return found.compared

    async def _links(self, fold: Fold, link_fold: LinkFold, linked: ComparedLinks, report: StoreReport) -> int:
        before = report.compared
        await fold.read()
        await link_fold.read()
        within = self._settings.verify.settle_within
        await LinkComparison(self._settings, fold, link_fold, [linked], within).compare({linked.name: report})
        return report.compared - before

    async def _attempt(self, report: StoreReport, comparing: Awaitable[int]) -> None:
        """One step. A store that does not answer is a problem of this process, and of no other store."""
        try:
            compared = await comparing
        except (Unavailable, BatchRejected) as error:
            if isinstance(error, Unavailable) and error.store == "kafka":
                raise
            report.problem = str(error)
            self._health.problem("store", report.store, report.problem, by="check")
            return
        self._health.solved("store", report.store, by="check")
        self._metrics.found(report.store, compared, report.counts)

    def _conclude(self, report: StoreReport) -> None:
        for found in report.found[:LOGGED]:
            _log(found)
        if report.problem or report.unsettled:
            log.warning("not_compared", store=report.store, reason=report.problem or "the workers are late")
            return
        self._metrics.complete(report.store, report.counts)
        log.info("compared", store=report.store, entities=report.compared, different=len(report.found))

    async def _rest(self, began: float, share: float) -> None:
        """So that the steps are spread over the cycle."""
        await asyncio.sleep(max(0.0, began + share * self._settings.verify.cycle - time.monotonic()))


def _log(found: Found) -> None:
    one = found.finding
    log.warning(
        "store_differs", store=found.store, kind=one.kind, id=one.id, difference=one.difference.value, detail=one.detail
    )
