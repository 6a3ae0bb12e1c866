"""Whether a store contains exactly the newest version of each entity, with a tombstone for each deleted one."""

from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from headrace_cli.store_search import stores_vectors
from headrace_demo.catalogue.events import Event
from headrace_demo.catalogue.newest_changes import newest_changes
from headrace_schemas.changes import CHANGES
from headrace_schemas.fields import Kind
from headrace_schemas.topics import SOURCE_NAMES
from headrace_worker.store import Store, Stored
from headrace_worker.worker import load_worker

DIFFERENCES_KEPT = 20


@dataclass(frozen=True, slots=True)
class Expected:
    """The newest change of one entity. `fields`: as in Stored, without nulls; a deleted entity has none."""

    version: int
    deleted: bool
    fields: dict[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class EntityComparison:
    """What a store contains of one kind, and how that differs from what is expected.

    `different`: the number of differences; `differences`: the first of them, as (id, what differs).
    """

    live: int = 0
    tombstones: int = 0
    different: int = 0
    differences: list[tuple[str, str]] = field(default_factory=list)

    @property
    def equal(self) -> bool:
        """Whether the store contains what is expected and nothing else."""
        return self.different == 0

    def add_difference(self, id: str, what: str) -> None:
        """Counts a difference, and keeps it if it is one of the first."""
        self.different += 1
        if len(self.differences) < DIFFERENCES_KEPT:
            self.differences.append((id, what))


async def compare_store(
    name: str, store: Store, published: Iterable[Event], model: str
) -> dict[Kind, EntityComparison]:
    """Compares the products and keywords of one worker's store with the newest of the published events."""
    await store.refresh()
    expected = expected_entities(published)
    vector_model = model if stores_vectors(load_worker(name)) else None
    return {kind: await compare_entities(store.scan(kind), expected[kind], model=vector_model) for kind in SOURCE_NAMES}


async def compare_entities(
    stored: AsyncIterator[Stored], expected: Mapping[str, Expected], *, model: str | None = None
) -> EntityComparison:
    """Compares everything that a store contains of one kind (`Store.scan`) with what is expected of that kind.

    `model`: for a store with vectors, the model of each live entity's vector.
    """
    comparison, seen = EntityComparison(), set[str]()
    async for entity in stored:
        comparison.live += not entity.deleted
        comparison.tombstones += entity.deleted
        if entity.id in seen:
            comparison.add_difference(entity.id, "is stored twice")
            continue
        seen.add(entity.id)
        wanted = expected.get(entity.id)
        what = "is stored and was never published" if wanted is None else _difference(entity, wanted, model)
        if what is not None:
            comparison.add_difference(entity.id, what)
    for missing in expected.keys() - seen:
        comparison.add_difference(missing, "is missing")
    return comparison


def expected_entities(events: Iterable[Event]) -> dict[Kind, dict[str, Expected]]:
    """The newest change of every entity, as a store must contain it; (kind, id) in two steps."""
    expected: dict[Kind, dict[str, Expected]] = {kind: {} for kind in SOURCE_NAMES}
    for (kind, id), newest in newest_changes(events).items():
        fields = {} if newest.deleted else CHANGES[kind].model_validate(newest.record).fields()
        present = {name: value for name, value in fields.items() if value is not None}
        expected[kind][id] = Expected(newest.version, newest.deleted, present)
    return expected


def _difference(stored: Stored, expected: Expected, model: str | None) -> str | None:
    """How an entity differs from what is expected, in words; None if it does not."""
    if stored.version != expected.version:
        return f"has version {stored.version}, the newest is {expected.version}"
    if stored.deleted != expected.deleted:
        return "is live and was deleted" if expected.deleted else "is deleted and should be live"
    if stored.deleted:
        return "is deleted and still has fields" if stored.fields else None
    names = stored.fields.keys() | expected.fields.keys()
    if other := sorted(name for name in names if stored.fields.get(name) != expected.fields.get(name)):
        return f"differs in {', '.join(other)}"
    if model is not None and (stored.model != model or not stored.content_hash):
        return f"has no vector of {model}"
    return None
