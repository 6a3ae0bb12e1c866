"""What a fault works on."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from random import Random
from subprocess import TimeoutExpired

from harness.catch_up import CatchUp
from harness.processes import WorkerProcess

from chaos.cluster import Cluster
from chaos.stream import Stream


@dataclass(frozen=True, slots=True)
class Scene:
    """What a fault works on. Every choice of a fault comes from `random`."""

    cluster: Cluster
    stream: Stream
    random: Random
    follow: CatchUp

    async def wait(self, least: float, most: float) -> None:
        await asyncio.sleep(self.random.uniform(least, most))


ALLOW_REJECTS = {"BREAKER__ALLOW_REJECTS": "true"}
"""The setting of a worker that an operator lets read the records of a bad deploy."""
Fault = Callable[[Scene], Awaitable[str]]
"""Returns what it did, in words."""


async def stopped(worker: WorkerProcess) -> None:
    """SIGTERM, and SIGKILL for a worker that does not end in time, as a supervisor does."""
    with contextlib.suppress(TimeoutExpired):
        await asyncio.to_thread(worker.stop)
    worker.end()


async def restarted(cluster: Cluster, name: str, **variables: str) -> None:
    """Every copy of a worker, one after the other, with these settings from now on."""
    for copy in [copy for of_name, copy in cluster.workers if of_name == name]:
        await stopped(cluster.workers[name, copy])
        cluster.workers[name, copy] = cluster.process(name, copy, **variables)
        cluster.workers[name, copy].lines()
        await cluster.start(cluster.workers[name, copy])
