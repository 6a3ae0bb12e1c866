"""The workers of the histories: the product's own path and stage, on the real stores and on topics in memory."""

import asyncio
import logging
from collections.abc import AsyncIterator, Collection, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import replace
from typing import Any

import structlog
from faststream.exceptions import NackMessage
from harness.servers import Servers

from headrace_letters.installed_stores import ReplayTarget
from headrace_runtime.app import Group, Paths
from headrace_runtime.assignment import Repair
from headrace_runtime.health import Health
from headrace_runtime.holds import Holds
from headrace_runtime.metrics import Metrics
from headrace_schemas.fields import Kind
from headrace_schemas.links import ProductLinks
from headrace_worker.stage import Outcome, Rejected, Stage
from headrace_worker.store import Stored
from headrace_worker.worker import load_worker
from histories.generator import WORKERS
from histories.records import LARGEST
from histories.topics import BatchPublisher, MemoryTopics

NEVER = "1000000"
"""Live changes that the breaker needs: a single history rejects too large a share of its changes."""
GIVE_BACK_AFTER = 15.0
Refused = set[tuple[str, str, int]]
"""Worker, id and version of the changes that a store refuses."""


class Refusing:
    """A stage whose store refuses some changes because of their data."""

    def __init__(self, stage: Stage[Any], worker: str, refused: Refused) -> None:
        self._stage = stage
        self._worker = worker
        self._refused = refused

    async def apply(self, changes: Sequence[Any]) -> list[Outcome]:
        bad = [(self._worker, change.id, change.version) in self._refused for change in changes]
        good = [change for change, is_bad in zip(changes, bad, strict=True) if not is_bad]
        outcomes = iter(await self._stage.apply(good) if good else ())
        return [
            Rejected("refused_by_store", "is refused", ("history",)) if is_bad else next(outcomes) for is_bad in bad
        ]

    async def check(self) -> None:
        await self._stage.check()


class HistoryWorker:
    """One worker. `topics`: those that it reads, its replays included."""

    def __init__(self, servers: Servers, name: str, refused: Refused, variables: Mapping[str, str]) -> None:
        self.name = name
        self.worker = load_worker(name)
        more = dict(variables) | {"KAFKA__MAX_RECORD_BYTES": str(LARGEST), "BREAKER__WINDOW": NEVER}
        self.settings: Any = servers.settings(self.worker.settings, **more)
        self.target = ReplayTarget(self.worker, self.settings)
        inputs = self.worker.inputs(self.settings)
        self._inputs = {topic: model for topic, model in inputs.items() if model is not ProductLinks}
        self.topics = (*self._inputs, self.settings.topics.replay(name))
        self._refused = refused
        self._stack = AsyncExitStack()
        self._stages: list[Any] = []
        self._store: Any = None

    @property
    def has_store(self) -> bool:
        return self.worker.store is not None

    @property
    def model(self) -> str | None:
        """The model of its vectors, if its store has any."""
        vectors = self.has_store and self.settings.topics.embedded("product", self.settings.model) in self._inputs
        return self.settings.model if vectors else None

    async def open(self) -> None:
        """Opens the store, and the stages of the worker and of its stale copy."""
        if self.worker.store is not None:
            self._store = self.worker.store(self.settings)
            self._stack.push_async_callback(self._store.close)
            await self._store.prepare()
        assert self.worker.stage is not None
        copies = 2 if self.has_store else 1
        for _ in range(copies):
            stage = await self._stack.enter_async_context(self.worker.stage(self.settings))
            self._stages.append(Refusing(stage, self.name, self._refused))

    async def close(self) -> None:
        await self._stack.aclose()
        self._stages.clear()

    async def handle(
        self,
        records: Sequence[Any],
        publisher: BatchPublisher,
        *,
        stale: Sequence[Any] = (),
        stale_publisher: BatchPublisher | None = None,
        give_back_after: float = GIVE_BACK_AFTER,
    ) -> bool:
        """Takes a batch through a path, as a worker that has just started does. Whether it may be committed.

        `stale`: what another copy writes at the same time.
        """
        paths = [self._handled(self._stages[0], records, publisher, give_back_after)]
        if stale and stale_publisher is not None:
            paths.append(self._handled(self._stages[-1], stale, stale_publisher, give_back_after))
        return (await asyncio.gather(*paths))[0]

    async def stored(self, kind: Kind, ids: Collection[str]) -> dict[str, Stored]:
        found: dict[str, Stored] = await self._store.get(kind, list(ids)) if ids else {}
        return found

    async def _handled(
        self, stage: Any, records: Sequence[Any], publisher: BatchPublisher, give_back_after: float
    ) -> bool:
        if not records:
            return True
        batch = self.settings.batch.model_copy(update={"give_back_after": give_back_after})
        settings = self.settings.model_copy(update={"batch": batch})
        health, metrics = Health(1000), Metrics(self.name)
        group = Group(self.name, lambda _: _never(), 1, health, self._inputs, self.topics, receipts=True)
        of_path: Any = publisher
        paths = Paths(replace(self.worker, metrics=()), settings, of_path, metrics, None)
        holds = Holds(self.name, health, metrics)
        path = paths.path(group, stage, Repair(stage, settings.topics, of_path.publish), holds)
        try:
            await path.handle(records)
        except NackMessage:
            return False
        return True


@asynccontextmanager
async def _never() -> AsyncIterator[Any]:
    yield None


@contextmanager
def _quiet() -> Iterator[None]:
    """A line for each dead letter takes longer than the letter."""
    before = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    try:
        yield
    finally:
        structlog.configure(**before)


@asynccontextmanager
async def open_workers(servers: Servers, refused: Refused, **variables: str) -> AsyncIterator[dict[str, HistoryWorker]]:
    """Every worker of `WORKERS`, by name."""
    servers.need("elasticsearch", "postgres", "qdrant")
    workers = {name: HistoryWorker(servers, name, refused, variables) for name in WORKERS}
    with _quiet():
        try:
            for worker in workers.values():
                await worker.open()
            yield workers
        finally:
            for worker in workers.values():
                await worker.close()


def memory_topics(workers: Mapping[str, HistoryWorker]) -> MemoryTopics:
    """Empty topics with the names that the workers use."""
    return MemoryTopics(next(iter(workers.values())).settings.topics)
