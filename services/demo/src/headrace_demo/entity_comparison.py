"""Whether a store contains exactly the newest version of each entity, with a tombstone for each deleted one."""

from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass, field

from headrace_cli.store_search import stores_vectors
from headrace_demo.catalogue.events import Change, Event
from headrace_expected.differences import Comparison, StoredEntity, digest_of_fields
from headrace_expected.entities import Entity, Expected, Position, fold
from headrace_schemas.changes import CHANGES
from headrace_schemas.fields import Kind
from headrace_schemas.topics import SOURCE_NAMES
from headrace_worker.store import Store, Stored
from headrace_worker.worker import load_worker

DIFFERENCES_KEPT = 20


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
    return {kind: await compare_entities(store.scan(kind), kind, expected, model=vector_model) for kind in SOURCE_NAMES}


async def compare_entities(
    stored: AsyncIterator[Stored], kind: Kind, expected: Mapping[Entity, Expected], *, model: str | None = None
) -> EntityComparison:
    """Compares everything that a store contains of one kind (`Store.scan`) with what it must hold.

    The fields themselves are compared, not the digest that the store has of them. `model`: for a store with vectors,
    the model of each live entity's vector.
    """
    entities = [stored_entity(kind, entity) async for entity in stored]
    tombstones = sum(entity.deleted for entity in entities)
    comparison = EntityComparison(live=len(entities) - tombstones, tombstones=tombstones)
    for finding in Comparison({}, model).differences(kind, expected, entities):
        comparison.add_difference(finding.id, finding.detail)
    return comparison


def expected_entities(events: Iterable[Event]) -> dict[Entity, Expected]:
    """What every store must hold after these events. Malformed records are ignored."""
    changes = [CHANGES[event.kind].model_validate(event.record) for event in events if isinstance(event, Change)]
    return fold(((change, Position(0, offset)) for offset, change in enumerate(changes)), {})


def stored_entity(kind: Kind, stored: Stored) -> StoredEntity:
    """An entity as a store returns it, with the digest of its fields. A tombstone with fields has a digest of its own,
    which differs from that of a delete.
    """
    whole = stored.fields or not stored.deleted
    digest = digest_of_fields(kind, stored.version, stored.fields) if whole else stored.digest
    return StoredEntity(
        stored.id, stored.version, stored.deleted, digest, stored.model if stored.content_hash else None
    )
