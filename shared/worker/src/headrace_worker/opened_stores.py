"""The read sides of what the installed workers store, opened with the settings of the environment."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Protocol, TypeVar

from headrace_worker.worker import Worker, load_worker, worker_names


class Closable(Protocol):
    """Any object that has connections to close."""

    async def close(self) -> None: ...


C = TypeVar("C", bound=Closable)


def workers() -> list[Worker]:
    """Every installed worker."""
    return [load_worker(name) for name in worker_names()]


@asynccontextmanager
async def opened(openers: Mapping[Worker, Callable[[Any], C]]) -> AsyncIterator[dict[str, C]]:
    """Worker name to what its opener opens with the worker's settings; closed on exit."""
    async with AsyncExitStack() as stack:
        found: dict[str, C] = {}
        for worker, opener in openers.items():
            found[worker.name] = opener(worker.settings())
            stack.push_async_callback(found[worker.name].close)
        yield found
