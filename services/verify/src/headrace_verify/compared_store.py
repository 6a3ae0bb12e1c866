"""The stores that can be compared: those of the installed workers that have a scan."""

from collections.abc import AsyncIterator, Collection, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from headrace_expected.differences import Comparison
from headrace_expected.entities import Letter, rejected_by
from headrace_schemas.embedded import Embedded
from headrace_worker.opened_stores import workers
from headrace_worker.scan import Scan
from headrace_worker.settings import CommonSettings
from headrace_worker.worker import Worker


@dataclass(frozen=True)
class ComparedStore:
    """One store. `model`: of its vectors, None without vectors. `feeders`: its worker, and those that feed it."""

    name: str
    scan: Scan
    model: str | None
    feeders: frozenset[str]

    def rules(self, letters: Iterable[Letter]) -> Comparison:
        """The rules of the model, with the letters that excuse a difference of this store."""
        return Comparison(rejected_by(letters, self.feeders), self.model, every_version=self.model is None)


def comparable() -> list[Worker]:
    """The installed workers whose stores have a scan."""
    return [worker for worker in workers() if worker.scan is not None]


def without_scan() -> list[str]:
    """The workers with a store of entities that has none: nobody knows whether it is right."""
    return [worker.name for worker in workers() if worker.store is not None and worker.scan is None]


@asynccontextmanager
async def open_compared(settings: CommonSettings, names: Collection[str] = ()) -> AsyncIterator[list[ComparedStore]]:
    """The stores of these workers, or all; closed at the end."""
    async with AsyncExitStack() as stack:
        found = []
        for worker in comparable():
            if names and worker.name not in names:
                continue
            assert worker.scan is not None
            scan = worker.scan(worker.settings())
            stack.push_async_callback(scan.close)
            found.append(compared(worker, scan, settings))
        yield found


def compared(worker: Worker, scan: Scan, settings: CommonSettings) -> ComparedStore:
    """A scan of a worker's store, or of one that is built beside it."""
    inputs = worker.inputs(worker.settings())
    vectors = any(issubclass(model, Embedded) for model in inputs.values())
    fed_by = {one.name for one in workers() if one.step == "embed"} if vectors else set()
    return ComparedStore(worker.name, scan, settings.model if vectors else None, frozenset({worker.name, *fed_by}))
