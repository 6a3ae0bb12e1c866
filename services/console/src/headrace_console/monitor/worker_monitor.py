"""Looks at the workers in the background, so that no page waits for a broker."""

import asyncio
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import pairwise

import httpx
import structlog
from aiokafka.errors import KafkaError

from headrace_console.monitor.group_lag import Group, GroupReader, Reach, open_groups
from headrace_console.monitor.worker_health import Health, health_of
from headrace_worker.settings import KafkaSettings

log = structlog.get_logger(__name__)

EVERY_SECONDS = 5.0
KEPT = 61
RATE_LOOKS = 6
ANSWER_SECONDS = 15.0


@dataclass(slots=True)
class Watched:
    """One consumer group over time. `looks`: (seconds, records committed by then), oldest first."""

    group: Group
    reach: Reach | None = None
    looks: deque[tuple[float, int]] = field(default_factory=lambda: deque(maxlen=KEPT))

    @property
    def lag(self) -> int | None:
        """Records not yet committed; None before the first look."""
        return None if self.reach is None else sum(self.reach.lag.values())

    @property
    def rate(self) -> float | None:
        """Records a second over the last half minute; None before the second look."""
        looks = list(self.looks)[-RATE_LOOKS - 1 :]
        if len(looks) < 2:
            return None
        return max(0.0, (looks[-1][1] - looks[0][1]) / (looks[-1][0] - looks[0][0]))

    @property
    def series(self) -> list[int]:
        """Records between each look and the next, over the last five minutes."""
        numbers = [number for _, number in self.looks]
        return [max(0, after - before) for before, after in pairwise(numbers)]


class WorkerMonitor:
    """`addresses`: of the workers' own routes, by name, where they are given. `problem`: why nothing newer is known."""

    def __init__(self, settings: KafkaSettings, groups: Sequence[Group], addresses: Mapping[str, str]) -> None:
        self._settings = settings
        self._addresses = addresses
        self._tasks: list[asyncio.Task[None]] = []
        self.watched = [Watched(group) for group in groups]
        self.health: dict[str, Health] = {}
        self.looked_at: datetime | None = None
        self.problem = ""

    def start(self) -> None:
        """Looks every 5 seconds from now on."""
        self._tasks = [asyncio.create_task(self._watch_kafka()), asyncio.create_task(self._watch_workers())]

    async def close(self) -> None:
        """Looks no more."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _watch_kafka(self) -> None:
        while True:
            try:
                async with open_groups(self._settings) as reader:
                    while True:
                        async with asyncio.timeout(ANSWER_SECONDS):
                            await self._look(reader)
                        await asyncio.sleep(EVERY_SECONDS)
            except (KafkaError, OSError, TimeoutError) as error:
                self.problem = f"Kafka does not answer ({type(error).__name__})"
                log.warning("watching_failed", raised=type(error).__name__)
            await asyncio.sleep(EVERY_SECONDS)

    async def _look(self, reader: GroupReader) -> None:
        reaches = await reader.look([watched.group for watched in self.watched])
        now = time.monotonic()
        for watched in self.watched:
            watched.reach = reaches[watched.group.name]
            watched.looks.append((now, watched.reach.committed))
        self.looked_at, self.problem = datetime.now(UTC), ""

    async def _watch_workers(self) -> None:
        async with httpx.AsyncClient(timeout=EVERY_SECONDS, trust_env=False) as http:
            while self._addresses:
                found = await asyncio.gather(*(health_of(http, address) for address in self._addresses.values()))
                self.health = dict(zip(self._addresses, found, strict=True))
                await asyncio.sleep(EVERY_SECONDS)
