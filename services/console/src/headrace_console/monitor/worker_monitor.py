"""Reads the lag and the health of the workers in the background, so that no page waits for them."""

import asyncio
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import pairwise

import httpx
import structlog
from aiokafka.errors import KafkaError

from headrace_clients.consumer_groups import OpenTransaction, open_transactions
from headrace_clients.group_lag import ConsumerGroup, GroupLag, GroupReader, open_group_reader
from headrace_clients.topic_reader import UnknownTopic
from headrace_clients.worker_conditions import WorkerCondition, condition_of
from headrace_console.monitor.delay_history import DelayHistory
from headrace_console.monitor.worker_health import WorkerHealth, health_of, health_of_copies
from headrace_worker.settings import KafkaSettings

log = structlog.get_logger(__name__)

INTERVAL = 5.0
"""Seconds between two readings."""
KEPT = 61
"""Readings: the last five minutes."""
RATE_READINGS = 6
"""Readings: the last half minute."""
CANARY = "canary"
"""The process that measures when a search finds a change. Its group reads nothing."""
ANSWER_WITHIN = 15.0
"""Seconds."""


@dataclass(slots=True)
class Watched:
    """One consumer group over time. `readings`: (seconds, committed records), oldest first."""

    group: ConsumerGroup
    now: GroupLag | None = None
    readings: deque[tuple[float, int]] = field(default_factory=lambda: deque(maxlen=KEPT))

    @property
    def lag(self) -> int | None:
        """Uncommitted records; None before the first reading."""
        return None if self.now is None else sum(self.now.lag.values())

    @property
    def rate(self) -> float | None:
        """Records a second over the last half minute; None before the second reading."""
        readings = list(self.readings)[-RATE_READINGS - 1 :]
        if len(readings) < 2:
            return None
        return max(0.0, (readings[-1][1] - readings[0][1]) / (readings[-1][0] - readings[0][0]))

    @property
    def series(self) -> list[int]:
        """Records between two readings, over the last five minutes."""
        numbers = [number for _, number in self.readings]
        return [max(0, after - before) for before, after in pairwise(numbers)]


class WorkerMonitor:
    """`addresses`: addresses of the workers' routes, by name; those of other workers are what their copies announce to
    Kafka. `sources`: the topics whose open transactions it shows. `problem`: why the last reading failed, or "".
    """

    def __init__(
        self,
        settings: KafkaSettings,
        groups: Sequence[ConsumerGroup],
        addresses: Mapping[str, str],
        sources: Sequence[str],
    ) -> None:
        self._settings = settings
        self._sources = sources
        self._addresses = addresses
        self._tasks: list[asyncio.Task[None]] = []
        self.watched = [Watched(group) for group in groups]
        self.health: dict[str, WorkerHealth] = {}
        self.transactions: Sequence[OpenTransaction] = ()
        self.read_at: datetime | None = None
        self.problem = ""
        self.history = DelayHistory()
        self.began = datetime.now(UTC)

    async def conditions(self) -> dict[str, WorkerCondition]:
        """The condition of each worker at the last reading; nothing is known of a worker before the first one."""
        found = {}
        for name in dict.fromkeys(watched.group.worker for watched in self.watched):
            lags = [watched.now for watched in self.watched if watched.group.worker == name and watched.now]
            if lags and not self.problem:
                health = self.health.get(name)
                answers = health is not None and health.answered
                found[name] = condition_of(lags, health.problems if health and answers else None)
        return found

    def start(self) -> None:
        """Reads every 5 seconds from now on."""
        self._tasks = [asyncio.create_task(self._watch_kafka()), asyncio.create_task(self._watch_workers())]

    async def close(self) -> None:
        """Stops reading."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _watch_kafka(self) -> None:
        while True:
            try:
                async with open_group_reader(self._settings) as reader:
                    while True:
                        async with asyncio.timeout(ANSWER_WITHIN):
                            await self._read(reader)
                        await asyncio.sleep(INTERVAL)
            except UnknownTopic as error:
                self.problem = str(error)
            except (KafkaError, OSError, TimeoutError) as error:
                self.problem = f"Kafka does not answer ({type(error).__name__})"
                log.warning("monitor_failed", raised=type(error).__name__)
            await asyncio.sleep(INTERVAL)

    async def _read(self, reader: GroupReader) -> None:
        lags = await reader.read([watched.group for watched in self.watched])
        self.transactions = await open_transactions(self._settings, self._sources)
        now = time.monotonic()
        for watched in self.watched:
            watched.now = lags[watched.group.name]
            watched.readings.append((now, watched.now.committed))
        self.read_at, self.problem = datetime.now(UTC), ""

    async def _watch_workers(self) -> None:
        async with httpx.AsyncClient(timeout=INTERVAL, trust_env=False) as http:
            while True:
                names = dict.fromkeys(watched.group.worker for watched in self.watched)
                found = await asyncio.gather(*(self._health(http, name) for name in names))
                self.health = {name: health for name, health in zip(names, found, strict=True) if health is not None}
                self._keep_delays()
                await asyncio.sleep(INTERVAL)

    def _keep_delays(self) -> None:
        now = time.monotonic()
        copies = {name: {address: one.metrics for address, one in health.copies.items()}
                  for name, health in self.health.items()}  # fmt: skip
        for name, read in copies.items():
            self.history.put(now, name, read)
        self.history.forget_others({address for read in copies.values() for address in read})

    async def _health(self, http: httpx.AsyncClient, worker: str) -> WorkerHealth | None:
        if worker in self._addresses:
            health = await health_of(http, self._addresses[worker])
            return replace(health, copies={self._addresses[worker]: health} if health.answered else {})
        groups = [watched.now for watched in self.watched if watched.group.worker == worker and watched.now]
        return await health_of_copies(http, [address for group in groups for address in group.addresses])
