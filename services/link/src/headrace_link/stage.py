"""The stage of the topic `relink`: requests become link sets, sweep markers become requests."""

import asyncio
from collections.abc import Sequence

import structlog

from headrace_link.coverage import Coverage
from headrace_link.expired_sets import ExpiredSets
from headrace_link.metrics import SWEEPS, count_requests
from headrace_link.records import Request, SweepMarker
from headrace_link.sweeps import Sweeps
from headrace_link.turns import Turns
from headrace_worker.parts import write_parts
from headrace_worker.stage import Applied, BatchRejected, Outcome, Output, Superseded, Unavailable

log = structlog.get_logger(__name__)

PART = 64
"""Products of one turn."""
IN_FLIGHT = 8


class LinkStage:
    """Answers requests and sweep markers."""

    def __init__(self, turns: Turns, sweeps: Sweeps, coverage: Coverage, expired: ExpiredSets) -> None:
        self._turns = turns
        self._sweeps = sweeps
        self._coverage = coverage
        self._expired = expired
        self._slots = asyncio.Semaphore(IN_FLIGHT)

    async def apply(self, changes: Sequence[Request | SweepMarker]) -> Sequence[Outcome]:
        """A request that a finished read covers is superseded. Raises Unavailable if no request could be answered."""
        fresh = [asked for asked in changes if not self._coverage.covers(asked)]
        requests = [asked for asked in fresh if isinstance(asked, Request)]
        answers = await self._link(requests)
        outcomes = {(asked.kind, asked.id): answer for asked, answer in answers}
        for marker in fresh:
            if isinstance(marker, SweepMarker):
                outcomes[marker.kind, marker.id] = await self._sweep(marker)
        self._coverage.forget(changes)
        found = [outcomes.get((asked.kind, asked.id), Superseded()) for asked in changes]
        count_requests(zip(changes, found, strict=True))
        return found

    async def check(self) -> None:
        """Raises Unavailable unless Qdrant and Kafka answer."""
        await self._sweeps.check()

    def after_expiry(self) -> Sequence[Output]:
        """Requests expired before they were read. Their products are unknown, and some may have been explicit, so the
        links of all products are published again.
        """
        return [self._sweeps.marker()]

    async def _link(self, requests: Sequence[Request]) -> list[tuple[Request, Outcome]]:
        """Those of one topic after those of another, in the order of the batch: the requests in bulk come last."""
        answers: list[tuple[Request, Outcome]] = []
        for topic in dict.fromkeys(asked.arrival.topic for asked in requests):
            few = [asked for asked in requests if asked.arrival.topic == topic]
            parts = [few[start : start + PART] for start in range(0, len(few), PART)]
            try:
                outcomes = await write_parts(parts, self._turns.link, self._slots)
            except Unavailable as error:
                outcomes = [error] * len(few)
            answers += zip(few, outcomes, strict=True)
        failures = [outcome for _, outcome in answers if isinstance(outcome, Unavailable)]
        if failures and len(failures) == len(answers):
            raise failures[0]
        return answers

    async def _sweep(self, marker: SweepMarker) -> Outcome:
        if self._expired.replaced(marker):
            return Superseded()
        await self._sweeps.ready()
        try:
            ends = await self._coverage.ends([marker])
            ends_of_sets = await self._expired.ends()
            requests = await self._sweeps.publish(marker)
        except Unavailable as error:
            return error
        except BatchRejected as error:
            return error.rejection
        # Noted only now: before, a failed publication would be skipped at the next try.
        self._coverage.note([marker], ends)
        if marker.republish and marker.parts == 1:
            self._expired.note(ends_of_sets)
        SWEEPS.inc(marker.parts == 1)
        log.info("products_swept", part=marker.part, parts=marker.parts, requests=requests)
        return Applied()
