"""What is measured: one search of each store and kind, and one of the links of each store."""

from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from headrace_canary.metrics import LINKS
from headrace_canary.rounds import Rounds
from headrace_schemas.canary import CANARY_ID
from headrace_schemas.fields import RecordKind
from headrace_schemas.topics import SOURCE_NAMES
from headrace_worker.opened_stores import workers
from headrace_worker.store import FindsCanary, FindsLinkedCanary, LinkStore, Store
from headrace_worker.worker import Worker

AnyStore = Store | LinkStore


@dataclass(frozen=True)
class Target:
    """One search. `search`: the version of the canary that it finds, None if it finds none; raises Unavailable."""

    store: str
    kind: RecordKind
    search: Callable[[], Awaitable[int | None]]
    rounds: Rounds


def openers() -> Mapping[Worker, Callable[[Any], AnyStore]]:
    """How to open what each worker stores; only of workers that take the canary. A worker with entities and links has
    one store for both.
    """
    found: dict[Worker, Callable[[Any], AnyStore]] = {}
    for worker in workers():
        if worker.takes_canary and (opener := worker.store or worker.links):
            found[worker] = opener
    return found


def unmeasured() -> list[str]:
    """The workers whose stores cannot be measured, because they do not take the canary."""
    return [worker.name for worker in workers() if (worker.store or worker.links) and not worker.takes_canary]


def targets(stores: Mapping[str, AnyStore], missing_after: float) -> Iterator[Target]:
    """Every search of these stores, by worker name."""
    for name, store in stores.items():
        if isinstance(store, FindsCanary):
            for kind in SOURCE_NAMES:
                yield Target(name, kind, partial(store.canary_version, kind), Rounds(missing_after))
        if isinstance(store, FindsLinkedCanary):
            yield Target(name, LINKS, store.linked_canary_version, Rounds(missing_after))


async def stored_version(store: AnyStore) -> int:
    """The newest version of the canary in a store of entities, deletes included; 0 if there is none. Raises
    Unavailable.
    """
    if not isinstance(store, FindsCanary):
        return 0
    found = [await store.get(kind, [CANARY_ID]) for kind in SOURCE_NAMES]
    return max((entity.version for entities in found for entity in entities.values()), default=0)
