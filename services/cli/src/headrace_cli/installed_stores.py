"""The stores of the installed workers."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Protocol, TypeVar

from headrace_cli.errors import CommandError
from headrace_schemas.links import ProductLinks
from headrace_worker.store import Kept, LinkStore, Store
from headrace_worker.worker import Worker, load_worker, worker_names


class Closable(Protocol):
    """Whatever holds connections."""

    async def close(self) -> None: ...


C = TypeVar("C", bound=Closable)


def workers() -> list[Worker]:
    """Every installed worker."""
    return [load_worker(name) for name in worker_names()]


def keeps_published_links(worker: Worker) -> bool:
    """Whether the worker reads link sets and keeps them, as `link` itself does not: it makes them."""
    return worker.links is not None and ProductLinks in worker.inputs(worker.settings()).values()


@asynccontextmanager
async def opened_stores() -> AsyncIterator[dict[str, Store]]:
    """Worker name to its store of products and keywords, for all that keep one; closed on exit."""
    async with _opened({worker: worker.store for worker in workers() if worker.store is not None}) as stores:
        yield stores


@asynccontextmanager
async def opened_link_stores() -> AsyncIterator[dict[str, LinkStore]]:
    """Worker name to its store of link sets, for all that keep one; closed on exit."""
    async with _opened({worker: worker.links for worker in workers() if worker.links is not None}) as stores:
        yield stores


async def prepare_stores() -> dict[str, list[str]]:
    """Creates or migrates every store's collections, indices and tables, all at once; what was made, by store.

    Raises Unavailable, CommandError if what is there does not fit the settings.
    """
    async with _each_opened() as stores:
        try:
            lines = await asyncio.gather(*(store.prepare() for store in stores.values()))
        except ValueError as error:
            raise CommandError(str(error)) from error
        return dict(zip(stores, lines, strict=True))


async def refresh_stores() -> None:
    """Makes every acknowledged write visible to every search. Raises Unavailable."""
    async with _each_opened() as stores:
        await asyncio.gather(*(store.refresh() for store in stores.values()))


@asynccontextmanager
async def _each_opened() -> AsyncIterator[dict[str, Kept]]:
    """Worker name to what it keeps, once: one that keeps entities and links keeps them in one store."""
    openers: dict[Worker, Callable[[Any], Kept]] = {}
    for worker in workers():
        if opener := worker.store or worker.links or worker.tables:
            openers[worker] = opener
    async with _opened(openers) as stores:
        yield stores


@asynccontextmanager
async def _opened(openers: Mapping[Worker, Callable[[Any], C]]) -> AsyncIterator[dict[str, C]]:
    async with AsyncExitStack() as stack:
        opened: dict[str, C] = {}
        for worker, opener in openers.items():
            opened[worker.name] = opener(worker.settings())
            stack.push_async_callback(opened[worker.name].close)
        yield opened
