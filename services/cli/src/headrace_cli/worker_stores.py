"""The stores that the installed workers write to."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, get_args

from headrace_cli.errors import WRONG_CALL, CommandError
from headrace_schemas.fields import Kind
from headrace_worker.opened_stores import opened, workers
from headrace_worker.served_model import OtherModel
from headrace_worker.settings import CommonSettings
from headrace_worker.stage import Unavailable
from headrace_worker.store import LinkStore, Observable, ServesModel, Store, Tables
from headrace_worker.worker import Worker, load_worker

NO_ID = "headrace wait"
"""Reading it shows whether a store answers. It may exist."""


def installed_worker(name: str) -> Worker:
    """One installed worker. Raises CommandError if there is none of that name."""
    try:
        return load_worker(name)
    except LookupError as error:
        raise CommandError(str(error), WRONG_CALL) from None


@asynccontextmanager
async def open_store(name: str) -> AsyncIterator[Store]:
    """The store of one worker, closed on exit. Raises CommandError if there is no such worker or it has no store."""
    worker = installed_worker(name)
    if worker.store is None:
        raise CommandError(f"the worker {name} has no store to search", WRONG_CALL)
    async with opened({worker: worker.store}) as stores:
        yield stores[name]


@asynccontextmanager
async def open_stores() -> AsyncIterator[dict[str, Store]]:
    """Worker name to its store of products and keywords, for every worker that has one; closed on exit."""
    async with opened({worker: worker.store for worker in workers() if worker.store is not None}) as stores:
        yield stores


def link_store_names() -> list[str]:
    """The names of the workers that store link sets."""
    return [worker.name for worker in workers() if worker.links is not None]


@asynccontextmanager
async def open_link_store(name: str) -> AsyncIterator[LinkStore]:
    """The link sets of one worker, closed on exit. Raises CommandError if there is no such worker or it has none."""
    worker = installed_worker(name)
    if worker.links is None:
        raise CommandError(f"the worker {name} has no link sets; these do: {', '.join(link_store_names())}", WRONG_CALL)
    async with opened({worker: worker.links}) as stores:
        yield stores[name]


@asynccontextmanager
async def open_link_stores() -> AsyncIterator[dict[str, LinkStore]]:
    """Worker name to its store of link sets, for every worker that has one; closed on exit."""
    async with opened({worker: worker.links for worker in workers() if worker.links is not None}) as stores:
        yield stores


async def prepare_stores() -> dict[str, list[str]]:
    """Creates or migrates the collections, indices and tables of all stores concurrently; one line for each, by store.

    Raises Unavailable, CommandError if what exists does not fit the settings.
    """
    async with _each_opened() as stores:
        for name, store in stores.items():
            if isinstance(store, ServesModel) and (stored := await store.other_model()) is not None:
                raise CommandError(str(OtherModel(name, stored, CommonSettings().model)), WRONG_CALL)
        try:
            lines = await asyncio.gather(*(store.prepare() for store in stores.values()))
        except ValueError as error:
            raise CommandError(str(error)) from error
        return dict(zip(stores, lines, strict=True))


async def serve_model() -> dict[str, list[str]]:
    """Moves the public aliases and views of all stores to the model of the settings; the lines of each store.

    Raises Unavailable.
    """
    async with _each_opened() as stores:
        return {name: await store.serve() for name, store in stores.items() if isinstance(store, ServesModel)}


async def store_problems(within: float) -> dict[str, str]:
    """Makes every acknowledged write visible to every search, and reads from every store: why a store does not answer,
    by worker. A store has `within` seconds.
    """
    readable = [worker for worker in workers() if worker.store or worker.links]
    async with _each_opened(readable) as stores:
        found = await asyncio.gather(*(_problem(worker, stores[worker.name], within) for worker in readable))
        return {worker.name: problem for worker, problem in zip(readable, found, strict=True) if problem}


async def _problem(worker: Worker, store: Any, within: float) -> str:
    try:
        async with asyncio.timeout(within):
            await store.refresh()
            if worker.store:
                read = store.searchable if isinstance(store, Observable) else store.get
                await asyncio.gather(*(read(kind, [NO_ID]) for kind in get_args(Kind)))
            if worker.links:
                await store.links_of([NO_ID])
    except Unavailable as error:
        return str(error).partition("\n")[0]
    except TimeoutError:
        return f"no answer within {within:.0f} s"
    return ""


@asynccontextmanager
async def _each_opened(chosen: Sequence[Worker] | None = None) -> AsyncIterator[dict[str, Tables]]:
    """Worker name to its store. A worker with entities and links has one store for both, which is opened once.
    `chosen`: default every installed worker.
    """
    openers: dict[Worker, Callable[[Any], Tables]] = {}
    for worker in workers() if chosen is None else chosen:
        if opener := worker.store or worker.links or worker.tables:
            openers[worker] = opener
    async with opened(openers) as stores:
        yield stores
