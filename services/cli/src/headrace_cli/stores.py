"""The stores of the installed workers."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

from headrace_cli.errors import CommandError
from headrace_shared.store import Store
from headrace_shared.worker import Worker, load_worker, worker_names


def workers() -> list[Worker]:
    """Every installed worker."""
    return [load_worker(name) for name in worker_names()]


@asynccontextmanager
async def opened_stores(names: Sequence[str] | None = None) -> AsyncIterator[dict[str, Store]]:
    """Worker name to its store, for these workers or for all that keep one; closed on exit."""
    async with AsyncExitStack() as stack:
        opened: dict[str, Store] = {}
        for worker in workers() if names is None else map(load_worker, names):
            if worker.store is not None:
                opened[worker.name] = worker.store(worker.settings())
                stack.push_async_callback(opened[worker.name].close)
        yield opened


async def prepare_stores() -> dict[str, list[str]]:
    """Creates or migrates every store's collections, indices and tables, all at once; what was made, by store.

    Raises Unavailable, CommandError if what is there does not fit the settings.
    """
    async with opened_stores() as stores:
        try:
            lines = await asyncio.gather(*(store.prepare() for store in stores.values()))
        except ValueError as error:
            raise CommandError(str(error)) from error
        return dict(zip(stores, lines, strict=True))
