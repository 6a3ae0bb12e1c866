"""Searches for the canary until the search shows every published change."""

import asyncio
import time
from collections.abc import Sequence

import structlog

from headrace_canary.metrics import CanaryMetrics
from headrace_canary.publication import Versions
from headrace_canary.targets import Target
from headrace_runtime.health import Health
from headrace_worker.stage import Unavailable

log = structlog.get_logger(__name__)

SHORTEST_PAUSE, LONGEST_PAUSE = 0.05, 1.0
SHARE = 0.05
"""Of the time since the oldest change was published: a slow pipeline is asked less often."""
SEARCH_WITHIN = 10.0
PAUSE_WHILE_UNAVAILABLE = 1.0


def pause(age: float, search: float) -> float:
    """Seconds until the next search. `age`: since the publication of the oldest change that is not shown; `search`: how
    long the last search took. A search costs the store at most half of one connection's time.
    """
    return min(max(SHORTEST_PAUSE, SHARE * age, search), LONGEST_PAUSE)


class StoreProblems:
    """Reports a store as unavailable while any of its searches fails."""

    def __init__(self, health: Health) -> None:
        self._health = health
        self._failing: dict[str, set[str]] = {}

    def failed(self, target: Target, reason: str) -> None:
        """The search of this target failed."""
        failing = self._failing.setdefault(target.store, set())
        if not failing:
            log.warning("not_answering", subject=target.store, reason=reason)
        failing.add(target.kind)
        self._health.problem("store", target.store, reason, by="check")

    def answered(self, target: Target) -> None:
        """The search of this target answered."""
        failing = self._failing.get(target.store, set())
        failing.discard(target.kind)
        if not failing:
            self._health.solved("store", target.store, by="check")


class Watch:
    """Measures one target."""

    def __init__(self, target: Target, versions: Versions, metrics: CanaryMetrics, problems: StoreProblems) -> None:
        self._target = target
        self._versions = versions
        self._metrics = metrics
        self._problems = problems

    async def run(self) -> None:
        """Searches whenever there is a change to wait for, until it is cancelled."""
        rounds = self._target.rounds
        while True:
            await rounds.some()
            started = time.monotonic()
            answered = await self._look()
            now = time.monotonic()
            self._metrics.missing(self._target.store, self._target.kind, rounds.missing(now))
            if not answered:
                await asyncio.sleep(PAUSE_WHILE_UNAVAILABLE)
            elif rounds:
                await asyncio.sleep(pause(now - rounds.oldest, now - started))

    async def _look(self) -> bool:
        """One search; whether the store answered."""
        try:
            async with asyncio.timeout(SEARCH_WITHIN):
                found = await self._target.search()
        except Unavailable as error:
            self._problems.failed(self._target, error.detail)
            return False
        except TimeoutError:
            self._problems.failed(self._target, f"no answer within {SEARCH_WITHIN:g} s")
            return False
        except Exception as error:
            # A store that refuses the search must not end the measurement of the others.
            self._problems.failed(self._target, f"the search failed with {type(error).__name__}")
            return False
        self._problems.answered(self._target)
        self._note(found, time.monotonic())
        return True

    def _note(self, found: int | None, now: float) -> None:
        store, kind = self._target.store, self._target.kind
        if found is not None and found > self._versions.published:
            # It is not known when this was published, and the changes of this process are older: no search will show
            # them. The next one gets a version above it.
            self._versions.above(found)
            self._target.rounds.clear()
            return
        if found is not None:
            self._metrics.seen(store, kind)
        for shown in self._target.rounds.see(found, now):
            self._metrics.shown(store, kind, shown)


def watches(targets: Sequence[Target], versions: Versions, metrics: CanaryMetrics, health: Health) -> list[Watch]:
    """One for each target. The targets of a store share its problem."""
    problems = StoreProblems(health)
    return [Watch(target, versions, metrics, problems) for target in targets]
