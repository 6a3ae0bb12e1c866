"""Whether a store holds exactly what the changes add up to: the newest version of each entity, deletes included."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from headrace_worker.store import Stored

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
