"""The steps of a rebuild. What is done is read from the store itself, so that a run that was killed is continued.

1. create: the new set of objects, empty, and a consumer group at the start of the topics
2. fill: every record of the topics goes to the new set; the workers go on with the set in use
3. links: the link sets of the worker `link`
4. take over: the deletes, and the versions, that the topics have forgotten
5. compare: with what the source topics say
6. switch: the worker is paused, the new set catches up, readers and writers get it in one step, the worker goes on
7. catch up: what the worker had written to the former set in the last moment is in the new one, too
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from headrace_clients.pauses import current_pause, publish_pause
from headrace_expected.differences import Finding
from headrace_rebuild.comparison import differences, letters_of, with_own
from headrace_rebuild.feed import Feed, OnProgress, begin_anew, open_feed
from headrace_rebuild.steps import Say
from headrace_rebuild.taking_over import TakenOver, copy_links, newer_in_use, take_over
from headrace_rebuild.target_stage import EMBED, open_target, takes_links, takes_vectors
from headrace_schemas.changes import CHANGES
from headrace_schemas.links import ProductLinks
from headrace_schemas.pauses import Pause
from headrace_schemas.topics import SOURCE_NAMES
from headrace_worker.beside import Beside
from headrace_worker.worker import Worker, load_worker

ACTOR = "headrace rebuild"
PAUSE_SECONDS = 2.0
"""In which every copy of the worker hears of the pause. Nothing is lost if one does not: see step 7."""


@dataclass(slots=True)
class Report:
    """`built`: whether this run has filled a new set, and did not only finish one that was switched before.

    `outcomes`: of the records that filled it. `wrong`: why it was not switched.
    """

    switched: bool = False
    built: bool = False
    outcomes: Counter[str] = field(default_factory=Counter)
    links: int = 0
    taken: TakenOver = field(default_factory=TakenOver)
    wrong: Sequence[Finding] = ()
    lines: list[str] = field(default_factory=list)


class Rebuild:
    """The rebuild of the store of one worker. `say` gets the name of each step before it begins.

    Methods raise Unavailable, UnknownTopic and what aiokafka raises. Then the store in use is as it was, and the next
    run continues.
    """

    def __init__(self, worker: Worker, settings: Any, beside: Beside, say: Say, on_progress: OnProgress) -> None:
        self._worker = worker
        self._settings = settings
        self._beside = beside
        self._say = say
        self._on_progress = on_progress
        self._group = f"{settings.topic_prefix}rebuild.{worker.name}"
        self._inputs: dict[str, type[Any]] = {settings.topics.source(kind): CHANGES[kind] for kind in SOURCE_NAMES}
        if takes_links(worker, settings):
            self._inputs[settings.topics.product_links] = ProductLinks

    async def run(self, *, switch_anyway: bool = False) -> Report:
        """All steps that are left."""
        report = Report()
        state = await self._beside.state()
        if state != "switched":
            # The pause of a run that was killed before it switched would last until this one switches.
            await self._resume()
            self._say("create")
            if state == "none":
                await self._begin_anew()
            report.lines += await self._beside.create()
            await self._build(report, switch_anyway)
            report.built = True
        if report.wrong and not switch_anyway:
            return report
        await self._finish()
        report.switched = True
        return report

    async def abort(self) -> list[str]:
        """Removes a new set that is not in use. If it is killed, a run that follows fills the set from the start."""
        self._say("begin anew")
        await self._begin_anew()
        self._say("remove the new objects")
        lines = await self._beside.drop_new()
        await self._resume()
        return lines

    async def drop_old(self) -> list[str]:
        """Removes the former set; of a run that was killed after the switch, it does first what is left."""
        if await self._has_paused():
            await self._finish()
        self._say("remove the former objects")
        return await self._beside.drop_old()

    async def _begin_anew(self) -> None:
        await begin_anew(self._settings, self._group, list(self._inputs))

    async def _finish(self) -> None:
        """After the switch."""
        self._say("catch up")
        async with self._fed(self._settings) as (feed, stage):
            await feed.until_now(stage)
        await self._resume()

    async def _build(self, report: Report, switch_anyway: bool) -> None:
        target = await self._beside.target()
        async with self._fed(target) as (feed, stage):
            self._say("fill")
            await feed.until_now(stage, self._on_progress)
            if takes_links(self._worker, self._settings):
                self._say("links")
                report.links = await self._copy_links(stage)
            self._say("take over")
            report.taken = await self._take_over(feed, stage, target)
            self._say("compare")
            report.outcomes = feed.outcomes
            report.wrong = await self._compare(feed, target)
            if report.wrong and not switch_anyway:
                return
            self._say("switch")
            await self._pause()
            await feed.until_now(stage)
            await self._refresh(target)
            report.lines += await self._beside.switch()

    async def _refresh(self, target: Any) -> None:
        """A search in the new set finds everything that one in the former set found."""
        assert self._worker.store is not None
        store = self._worker.store(target)
        try:
            await store.refresh()
        finally:
            await store.close()

    async def _copy_links(self, stage: Any) -> int:
        link = load_worker("link")
        assert link.links is not None
        origin = link.links(link.settings())
        try:
            return await copy_links(origin, stage, self._settings)
        finally:
            await origin.close()

    async def _take_over(self, feed: Feed, stage: Any, target: Any) -> TakenOver:
        """What is still newer in the set in use once the new one has read as far as it."""
        assert self._worker.scan is not None
        total = TakenOver()
        in_use, new = self._worker.scan(self._settings), self._worker.scan(target)
        try:
            for kind in SOURCE_NAMES:
                await new.refresh()
                if keys := await newer_in_use(in_use, new, kind):
                    await feed.until_now(stage)
                    taken = await take_over(in_use, new, stage, self._settings, kind, keys)
                    total.tombstones += taken.tombstones
                    total.versions += taken.versions
                    total.left += taken.left
        finally:
            await in_use.close()
            await new.close()
        return total

    async def _compare(self, feed: Feed, target: Any) -> list[Finding]:
        assert self._worker.scan is not None
        vectors = takes_vectors(self._worker, self._settings)
        letters = await letters_of(self._settings, [self._worker.name, *([EMBED] if vectors else [])])
        new = self._worker.scan(target)
        try:
            await new.refresh()
            model = self._settings.model if vectors else None
            rejected = with_own(letters, feed.rejected)
            return await differences(self._settings, new, await feed.positions(), rejected, model)
        finally:
            await new.close()

    @asynccontextmanager
    async def _fed(self, settings: Any) -> AsyncIterator[tuple[Feed, Any]]:
        """The topics, and the stage of the set that these settings name."""
        async with (
            open_target(self._worker, settings) as stage,
            open_feed(self._settings, self._group, self._inputs) as feed,
        ):
            yield feed, stage

    async def _pause(self) -> None:
        """Pauses the worker unless an operator has."""
        if await current_pause(self._settings, self._worker.name) is None:
            await publish_pause(self._settings, self._record(paused=True))
        await asyncio.sleep(PAUSE_SECONDS)

    async def _resume(self) -> None:
        """Ends the pause of a rebuild, also of one that was killed."""
        if await self._has_paused():
            await publish_pause(self._settings, self._record(paused=False))

    async def _has_paused(self) -> bool:
        """Whether the pause of a rebuild is in force: from the switch until everything is caught up."""
        pause = await current_pause(self._settings, self._worker.name)
        return pause is not None and pause.actor == ACTOR

    def _record(self, *, paused: bool) -> Pause:
        reason = "its store is switched to the new one" if paused else "its store is switched"
        return Pause(worker=self._worker.name, paused=paused, actor=ACTOR, reason=reason, at=datetime.now(UTC))
