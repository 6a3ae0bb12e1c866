"""Whether a store holds exactly what the changes add up to: the newest version of each entity, deletes included."""

from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from headrace_cli.store_search import holds_vectors
from headrace_demo.catalogue.events import Event
from headrace_demo.catalogue.fold import fold
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
class Comparison:
    """What a store holds of one kind, against the fold. `differences`: the first of them, as (id, what differs)."""

    live: int = 0
    tombstones: int = 0
    different: int = 0
    differences: list[tuple[str, str]] = field(default_factory=list)

    @property
    def equal(self) -> bool:
        """Whether the store holds the fold and nothing else."""
        return self.different == 0

    def _differs(self, id: str, what: str) -> None:
        self.different += 1
        if len(self.differences) < DIFFERENCES_KEPT:
            self.differences.append((id, what))


async def compared(name: str, store: Store, published: Iterable[Event], model: str) -> dict[Kind, Comparison]:
    """One store's products and keywords against the fold of what was published."""
    await store.refresh()
    wanted = expected(published)
    of_model = model if holds_vectors(load_worker(name)) else None
    return {kind: await compare(store.scan(kind), wanted[kind], model=of_model) for kind in SOURCE_NAMES}


async def compare(
    stored: AsyncIterator[Stored], expected: Mapping[str, Expected], *, model: str | None = None
) -> Comparison:
    """Compares all that a store holds of one kind (`Store.scan`) with the fold of that kind.

    `model`: for a store of vectors, the model that each live entity's vector has to be of.
    """
    comparison, seen = Comparison(), set[str]()
    async for entity in stored:
        comparison.live += not entity.deleted
        comparison.tombstones += entity.deleted
        if entity.id in seen:
            comparison._differs(entity.id, "is held twice")
            continue
        seen.add(entity.id)
        wanted = expected.get(entity.id)
        what = "is held and was never published" if wanted is None else difference(entity, wanted, model)
        if what is not None:
            comparison._differs(entity.id, what)
    for missing in expected.keys() - seen:
        comparison._differs(missing, "is missing")
    return comparison


def difference(stored: Stored, expected: Expected, model: str | None) -> str | None:
    """What tells an entity from what it should be, in words; None if nothing does."""
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


def expected(events: Iterable[Event]) -> dict[Kind, dict[str, Expected]]:
    """The newest change of every entity, as a store holds it."""
    wanted: dict[Kind, dict[str, Expected]] = {kind: {} for kind in SOURCE_NAMES}
    for (kind, id), newest in fold(events).items():
        fields = {} if newest.deleted else CHANGES[kind].model_validate(newest.record).fields()
        present = {name: value for name, value in fields.items() if value is not None}
        wanted[kind][id] = Expected(newest.version, newest.deleted, present)
    return wanted
