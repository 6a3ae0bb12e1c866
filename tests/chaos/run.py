"""One run of chaos: the stream, the faults one after the other, samples, and what is found at the end."""

import asyncio
import json
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random
from typing import Any

from harness.account import read_account
from harness.catch_up import CatchUp
from harness.verdict import Verdict, judge

from chaos.cluster import Cluster
from chaos.kinds import faults_of
from chaos.scene import Fault, Scene
from chaos.stream import Stream

SAMPLE_SECONDS = 5.0
NOT_MADE = "could not be made"
MADE_WITHIN = 180.0
RECOVERED_WITHIN = 180.0
SETTLED_WITHIN = 600.0
PAUSE = (0.0, 2.0)
"""Seconds between a recovery and the next fault."""


@dataclass(frozen=True, slots=True)
class Done:
    """One fault. Times are seconds since the start of the stream. `recovered`: seconds from its end until everything
    that was published before was settled everywhere; None if that took longer than `RECOVERED_WITHIN`.
    """

    kind: str
    what: str
    began: float
    ended: float
    recovered: float | None


@dataclass(frozen=True, slots=True)
class Sample:
    """`published`: records on the source topics. `lag`: by group. Either is None while the brokers do not answer."""

    at: float
    published: int | None
    lag: dict[str, int] | None


class Run:
    """`file`: gets a line of JSON for each fault and sample at once, so that a run that is ended keeps them."""

    def __init__(self, cluster: Cluster, stream: Stream, seed: int, file: Path) -> None:
        self.cluster = cluster
        self.stream = stream
        self.done: list[Done] = []
        self.samples: list[Sample] = []
        self.settled: float | None = None
        self._random = Random(seed)
        self._file = file
        self._began = 0.0

    async def go(self, seconds: float, chosen: dict[str, Fault] | None = None) -> Verdict:
        """Runs for so long, lets everything settle, and judges. Raises TimeoutError if it does not settle."""
        follow, samples = CatchUp(self.cluster.settings), CatchUp(self.cluster.settings)
        stop = asyncio.Event()
        try:
            await self.stream.create()
            await follow.until_settled(SETTLED_WITHIN)
            self._began = time.monotonic()
            async with asyncio.TaskGroup() as group:
                group.create_task(self.stream.run(stop))
                sampling = group.create_task(self._sample(samples))
                await self._break(follow, seconds, chosen or faults_of(self.cluster))
                stop.set()
                await self.cluster.heal()
                self.settled = await follow.until_settled(SETTLED_WITHIN)
                sampling.cancel()
            await self.cluster.keep_vectors()
            return await judge(self.cluster, await read_account(self.cluster), self.cluster.vectors)
        finally:
            await follow.close()
            await samples.close()

    async def _break(self, follow: CatchUp, seconds: float, faults: dict[str, Fault]) -> None:
        kinds = self._kinds(faults)
        while (began := self._now()) < seconds:
            kind = next(kinds)
            what = await self._made(faults[kind], follow)
            ended = self._now()
            recovered = None
            with suppress(TimeoutError):
                recovered = round(await follow.until_settled(RECOVERED_WITHIN), 2)
            done = Done(kind, what, round(began, 2), round(ended, 2), recovered)
            self.done.append(done)
            self._keep("fault", asdict(done))
            shown = "not recovered" if recovered is None else f"recovered after {recovered:.1f} s"
            print(f"{began:7.1f} s  {kind}: {what}; {shown}", flush=True)
            await asyncio.sleep(self._random.uniform(*PAUSE))

    async def _made(self, fault: Fault, follow: CatchUp) -> str:
        """Makes a fault. One that the machine prevents, or has no end, does not end the run; the report says so."""
        try:
            async with asyncio.timeout(MADE_WITHIN):
                what = await fault(Scene(self.cluster, self.stream, self._random, follow))
        except Exception as error:
            what = f"{NOT_MADE} ({type(error).__name__}: {error})"
        left = await self.cluster.heal()
        return f"{what}; started again: {', '.join(left)}" if left else what

    def _kinds(self, faults: dict[str, Fault]) -> Iterator[str]:
        """Every kind once in a random order, then again in another."""
        while True:
            yield from self._random.sample(list(faults), len(faults))

    async def _sample(self, follow: CatchUp) -> None:
        while True:
            sample = Sample(round(self._now(), 2), await follow.published(), await follow.lag())
            self.samples.append(sample)
            self._keep("sample", asdict(sample))
            await asyncio.sleep(SAMPLE_SECONDS)

    def _now(self) -> float:
        return time.monotonic() - self._began

    def _keep(self, kind: str, fields: dict[str, Any]) -> None:
        with self._file.open("a") as file:
            file.write(json.dumps({"is": kind} | fields) + "\n")
