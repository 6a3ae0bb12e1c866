"""The installed workers as targets of replays, and what their stores contain."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import cached_property, partial
from typing import Any, Protocol, TypeVar

from headrace_runtime.decoder import Decoder
from headrace_schemas.fields import Kind
from headrace_schemas.links import ProductLinks
from headrace_worker.settings import WorkerSettings
from headrace_worker.store import CountsProducts, LinkedProduct, LinkStore, Observable, Store, Stored
from headrace_worker.worker import Worker, load_worker, worker_names

SettingsOf = Callable[[Worker], WorkerSettings]
"""The settings of a worker; normally those of the environment."""
IDS_PER_REQUEST = 500
S = TypeVar("S", Store, LinkStore)
V = TypeVar("V")


class StoredVersion(Protocol):
    """What a store contains for an id; it may be a tombstone."""

    @property
    def version(self) -> int: ...
    @property
    def deleted(self) -> bool: ...


class ReplayTarget:
    """One worker as the target of replays. `decoder` decodes a record as the worker decodes a replay."""

    def __init__(self, worker: Worker, settings: WorkerSettings) -> None:
        self.worker = worker
        self.settings = settings
        self.inputs = worker.inputs(settings)
        self.replay_topic = settings.topics.replay(worker.name)
        self.decoder = Decoder(
            self.inputs,
            self.replay_topic,
            on_null=settings.null_without_version,
            max_record_bytes=settings.kafka.max_record_bytes,
            model=settings.model,
        )


class InstalledStores:
    """The stores of all installed workers, each opened on first use. Methods raise Unavailable."""

    def __init__(self, stack: AsyncExitStack, settings_of: SettingsOf) -> None:
        self._stack = stack
        self._settings_of = settings_of
        self._targets: dict[str, ReplayTarget] = {}
        self._stores: dict[str, Store] = {}
        self._link_stores: dict[str, LinkStore] = {}

    def target(self, name: str) -> ReplayTarget:
        """Raises LookupError if no worker of that name is installed."""
        if name not in self._targets:
            worker = load_worker(name)
            self._targets[name] = ReplayTarget(worker, self._settings_of(worker))
        return self._targets[name]

    def deciding(self, name: str, kind: Kind) -> list[str]:
        """The workers whose stores decide the outcome of a change of this kind that is replayed to the worker.

        That is the worker itself. If it has no store, it is the workers that read the records it publishes.
        """
        target = self.target(name)
        if target.worker.store is not None:
            return [name]
        embedded = target.settings.topics.embedded(kind, target.settings.model)
        return [other for other in self.entity_stores if embedded in self.target(other).inputs]

    @cached_property
    def entity_stores(self) -> list[str]:
        """The workers whose stores contain products and keywords."""
        return [name for name in worker_names() if self.target(name).worker.store is not None]

    @cached_property
    def link_stores(self) -> list[str]:
        """The workers whose stores contain link sets."""
        return [name for name in worker_names() if self.target(name).worker.links is not None]

    async def entities(self, name: str, kind: Kind, ids: Sequence[str]) -> dict[str, Stored]:
        """What one worker's store contains for these ids; an unknown id is missing from the answer."""
        store = self._opened(self._stores, name, self.target(name).worker.store)
        return await _in_parts(partial(store.get, kind), ids)

    async def link_sets(self, name: str, product_ids: Sequence[str]) -> dict[str, ProductLinks]:
        """The link sets in one worker's store; an unknown id is missing from the answer."""
        store = self._opened(self._link_stores, name, self.target(name).worker.links)
        return await _in_parts(store.links_of, product_ids)

    async def searchable(self, name: str, kind: Kind, ids: Sequence[str]) -> dict[str, int] | None:
        """The versions of these entities that a search in one worker's store finds; None if the store cannot say."""
        store = self._opened(self._stores, name, self.target(name).worker.store)
        return await _in_parts(partial(store.searchable, kind), ids) if isinstance(store, Observable) else None

    async def products_of(self, name: str, keyword_id: str, limit: int) -> list[LinkedProduct]:
        """The best products that one worker's store links to a keyword."""
        store = self._opened(self._link_stores, name, self.target(name).worker.links)
        return await store.products_of(keyword_id, limit)

    async def product_count(self, name: str, keyword_id: str) -> int | None:
        """The number of products that one worker's store links to a keyword; None if the store cannot say."""
        store = self._opened(self._link_stores, name, self.target(name).worker.links)
        return await store.product_count(keyword_id) if isinstance(store, CountsProducts) else None

    async def live_count(self, name: str, kind: Kind) -> int | None:
        """The number of entities in one worker's store that are not deleted; None if the store cannot say."""
        store = self._opened(self._stores, name, self.target(name).worker.store)
        return await store.live_count(kind) if isinstance(store, Observable) else None

    async def everywhere(self, kind: Kind, ids: Sequence[str]) -> dict[str, Mapping[str, Stored]]:
        """What every store contains for these ids, by worker."""
        return {name: await self.entities(name, kind, ids) for name in self.entity_stores}

    def _opened(self, stores: dict[str, S], name: str, opener: Callable[[Any], S] | None) -> S:
        if name not in stores:
            assert opener is not None, f"the worker {name} has no such store"
            stores[name] = opener(self.target(name).settings)
            self._stack.push_async_callback(stores[name].close)
        return stores[name]


@asynccontextmanager
async def open_installed_stores(
    settings_of: SettingsOf = lambda worker: worker.settings(),
) -> AsyncIterator[InstalledStores]:
    """The stores of all installed workers; they are closed on exit."""
    async with AsyncExitStack() as stack:
        stores = InstalledStores(stack, settings_of)
        await asyncio.to_thread(_import_libraries)
        yield stores


def _import_libraries() -> None:
    """Imports what all stores need. It takes seconds, which must not count as those of an answer."""
    for worker in map(load_worker, worker_names()):
        worker.import_store_libraries()


async def _in_parts(read: Callable[[Sequence[str]], Awaitable[dict[str, V]]], ids: Sequence[str]) -> dict[str, V]:
    found: dict[str, V] = {}
    for start in range(0, len(ids), IDS_PER_REQUEST):
        found |= await read(ids[start : start + IDS_PER_REQUEST])
    return found
