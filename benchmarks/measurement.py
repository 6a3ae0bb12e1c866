"""Times each side of a comparison and computes the ratio."""

import asyncio
import statistics
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, replace
from typing import Any

from headrace_runtime.app import build
from headrace_worker.settings import WorkerSettings
from headrace_worker.stage import Outcome
from headrace_worker.worker import Worker

WITHIN = 600.0


@dataclass(frozen=True)
class Comparison:
    """Rates in records a second, a pair for each round; `ratio` is the median of the rounds' ratios."""

    name: str
    against: str
    ours: list[float]
    theirs: list[float]
    target: float

    @property
    def ratio(self) -> float:
        return statistics.median(ours / theirs for ours, theirs in zip(self.ours, self.theirs, strict=True))

    def as_dict(self) -> dict[str, Any]:
        """JSON-able, with the ratio."""
        return asdict(self) | {"ratio": self.ratio, "reached": self.ratio >= self.target}


@dataclass(frozen=True)
class Figure:
    """One number. `target`: the least acceptable value; None: the number is only reported."""

    name: str
    value: float
    unit: str
    target: float | None = None

    def as_dict(self) -> dict[str, Any]:
        """JSON-able."""
        return asdict(self) | ({} if self.target is None else {"reached": self.value >= self.target})


Side = Callable[[int], Awaitable[float]]
"""Runs one round and returns its rate. The number of the round separates the data of the rounds."""


async def compared(name: str, against: str, target: float, ours: Side, theirs: Side, rounds: int = 3) -> Comparison:
    """Runs both sides in turn and swaps their order each round: a change of the machine's speed affects both."""
    rates: dict[Side, list[float]] = {ours: [], theirs: []}
    for number in range(rounds):
        for side in (ours, theirs) if number % 2 else (theirs, ours):
            rates[side].append(await side(number))
    return Comparison(name, against, rates[ours], rates[theirs], target)


class _Timed:
    """A stage that records when its first batch came and when the last of `expected` changes was settled."""

    def __init__(self, stage: Any, expected: int) -> None:
        self._stage = stage
        self._left = expected
        self.began: float | None = None
        self.done = asyncio.Event()

    async def apply(self, changes: Sequence[Any]) -> Sequence[Outcome]:
        self.began = self.began or time.perf_counter()
        outcomes: Sequence[Outcome] = await self._stage.apply(changes)
        self._left -= len(changes)
        if self._left <= 0:
            self.done.set()
        return outcomes

    async def check(self) -> None:
        await self._stage.check()


async def worker_rate(worker: Worker, settings: WorkerSettings, records: int) -> float:
    """Returns records a second of a worker on a full topic, from its first batch to its last. All keys differ."""
    timed: list[_Timed] = []

    @asynccontextmanager
    async def opened(of: Any) -> AsyncIterator[_Timed]:
        async with worker.stage(of) as stage:
            timed.append(_Timed(stage, records))
            yield timed[0]

    application = build(replace(worker, stage=opened), settings)
    async with asyncio.timeout(WITHIN), application.start_lifespan_context():
        await timed[0].done.wait()
        ended = time.perf_counter()
    assert timed[0].began is not None
    return records / (ended - timed[0].began)


def seconds(work: Callable[[], Any]) -> float:
    """Returns the seconds that a call takes."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


async def rate(records: int, work: Awaitable[Any]) -> float:
    """Returns records a second of an awaitable that handles all of them."""
    began = time.perf_counter()
    await work
    return records / (time.perf_counter() - began)
