"""A stage that stores entities in memory, with the same fence as the real sinks. It proves nothing about a store."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from headrace_schemas.changes import KeywordChange, ProductChange
from headrace_schemas.digest import differ, digest_of
from headrace_schemas.forget_record import Forget
from headrace_worker.settings import WorkerSettings
from headrace_worker.stage import Applied, BatchRejected, Conflict, Outcome, Output, Rejected, Superseded, Unavailable
from headrace_worker.worker import Worker


class MemoryStage:
    """Ids in `reject` are rejected alone, in `refuse_batch_with` with their batch; `break_on` breaks the store.

    `outputs`: the topic of the outputs that applied changes have, as those of embed do; None for no outputs.
    """

    def __init__(self) -> None:
        self.stored: dict[tuple[str, str], Any] = {}
        self.batches: list[list[Any]] = []
        self.reject: set[str] = set()
        self.refuse_batch_with: set[str] = set()
        self.break_on: set[str] = set()
        self.down = False
        self.outputs: str | None = None

    async def apply(self, changes: Sequence[Any]) -> list[Outcome]:
        self.batches.append(list(changes))
        if self.down:
            raise Unavailable("memory", "is down")
        if any(change.id in self.break_on for change in changes):
            raise Unavailable("memory", "answered 500", suspect=True)
        if any(change.id in self.refuse_batch_with for change in changes):
            raise BatchRejected(Rejected("refused_by_store", "no change was named", ("memory", "batch")))
        return [self.apply_one(change) for change in changes]

    async def forget(self, record: Forget) -> Outcome:
        stored = self.stored.get((record.kind, record.id))
        if stored is not None and stored.version > record.version:
            return Superseded(stored.version)
        if stored is not None and stored.version == record.version:
            del self.stored[record.kind, record.id]
        return Applied()

    async def check(self) -> None:
        if self.down:
            raise Unavailable("memory", "is down")

    def apply_one(self, change: Any) -> Outcome:
        if change.id in self.reject:
            return Rejected("refused_by_store", f"{change.id} is refused", ("memory", "refused"))
        stored = self.stored.get((change.kind, change.id))
        if stored is not None and stored.version > change.version:
            return Superseded(stored.version)
        if stored is not None and differ(digest_of(stored), digest_of(change)):
            return Conflict()
        self.stored[change.kind, change.id] = change
        return Applied((Output(self.outputs, change.id.encode(), b""),)) if self.outputs else Applied()

    def versions(self) -> dict[str, int]:
        """Returns the stored version of each id."""
        return {entity_id: change.version for (_, entity_id), change in self.stored.items()}


def memory_worker(stage: Any, name: str = "memory") -> Worker:
    """Makes a worker that reads both source topics into this stage."""

    @asynccontextmanager
    async def opened(settings: WorkerSettings) -> AsyncIterator[Any]:
        yield stage

    def inputs(settings: WorkerSettings) -> dict[str, Any]:
        return {settings.topics.source("product"): ProductChange, settings.topics.source("keyword"): KeywordChange}

    return Worker(name, WorkerSettings, inputs, opened)
