"""What a store must hold of each entity: the published change with the highest version.

A source topic is compacted: it keeps the record with the highest offset of a key, which may not be the one with the
highest version, and forgets a null record (a delete without a value) after 30 days. So it proves that a version was
published, and cannot prove that no higher one was.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from headrace_schemas.canary import CANARY_ID
from headrace_schemas.changes import Change
from headrace_schemas.digest import differ, digest_of
from headrace_schemas.embedded import Embedded
from headrace_schemas.fields import Kind
from headrace_schemas.forget_record import Forget

Entity = tuple[Kind, str]
Rejected = Mapping[Entity, frozenset[int]]
"""The versions that dead letters excuse."""


class Position(NamedTuple):
    """Where a change was published on the topic of its kind. The changes of one entity share a partition."""

    partition: int
    offset: int


class Letter(NamedTuple):
    """A dead letter of an entity's change, discarded ones included. `worker`: which has rejected it."""

    worker: str
    kind: Kind
    id: str
    version: int


@dataclass(frozen=True, slots=True)
class Published:
    """One published content of an entity.

    `digest`: by `headrace_schemas.digest`. `content_hash`, `vector` ((d,) float32 little-endian): of a record of
    `embed`. None is not compared.
    """

    version: int
    position: Position
    deleted: bool
    digest: str | None
    content_hash: str | None = None
    vector: bytes | None = None


@dataclass(frozen=True, slots=True)
class Expected:
    """What a store must hold of one entity: the first of `contents`.

    `contents`: without duplicates; the highest version first, of one version the one that was published first.
    """

    kind: Kind
    id: str
    contents: tuple[Published, ...]

    @property
    def newest(self) -> Published:
        return self.contents[0]

    @property
    def conflict(self) -> bool:
        """Whether the highest version was published with two contents: each store keeps the one that it read first."""
        return len(self.contents) > 1 and self.contents[1].version == self.newest.version


def expected_of(change: Change, position: Position) -> Expected:
    """What a store must hold if an entity has this change only."""
    embedding = change.embedding if isinstance(change, Embedded) else None
    of_embed = (embedding.content_hash, embedding.vector) if embedding else ()
    published = Published(change.version, position, change.deleted, digest_of(change), *of_embed)
    return Expected(change.kind, change.id, (published,))


def merge(one: Expected, other: Expected) -> Expected:
    """What a store must hold of an entity that has the changes of both. The order of merging does not matter."""
    kept: list[Published] = []
    for content in sorted((*one.contents, *other.contents), key=lambda content: (-content.version, content.position)):
        if not any(_equal(content, known) for known in reversed(kept)):
            kept.append(content)
    return Expected(one.kind, one.id, tuple(kept))


def fold(changes: Iterable[tuple[Change | Forget, Position]], rejected: Rejected) -> dict[Entity, Expected]:
    """What a store must hold after these changes, by entity; nothing of the canary, which no reader finds.

    `changes`: of each entity in the order of its partition, because a record that takes a version back ends what is
    before it. Lower versions are kept of the entities in `rejected` only, so memory does not grow with the number of
    changes.
    """
    expected: dict[Entity, Expected] = {}
    for change, position in changes:
        if change.id == CANARY_ID:
            continue
        entity = (change.kind, change.id)
        if isinstance(change, Forget):
            if entity in expected and expected[entity].newest.version == change.version:
                del expected[entity]
            continue
        one = expected_of(change, position)
        merged = merge(expected[entity], one) if entity in expected else one
        expected[entity] = merged if entity in rejected else newest_only(merged)
    return expected


def newest_only(expected: Expected) -> Expected:
    """Without the lower versions."""
    newest = expected.newest.version
    if expected.contents[-1].version == newest:
        return expected
    contents = tuple(content for content in expected.contents if content.version == newest)
    return Expected(expected.kind, expected.id, contents)


def rejected_by(letters: Iterable[Letter], workers: Collection[str]) -> dict[Entity, frozenset[int]]:
    """The versions that the letters of these workers excuse: of a store's worker, and of those that feed it."""
    rejected: dict[Entity, frozenset[int]] = {}
    for worker, kind, id, version in letters:
        if worker in workers:
            rejected[kind, id] = rejected.get((kind, id), frozenset()) | {version}
    return rejected


def allowed(expected: Expected, excused: frozenset[int], *, every_version: bool = False) -> set[int | None]:
    """The versions that are right for an entity; None: it may be missing. `excused`: the versions of its letters.

    Without a letter of the highest version it is that version alone. With one it is each version from the highest to
    the next that has no letter, because a letter may have been replayed. `every_version`: the store's worker itself
    reads every change. Otherwise lower versions are right as well, because `embed` passes on one version of each batch.
    """
    versions = list(dict.fromkeys(content.version for content in expected.contents))
    accepted = next((place for place, version in enumerate(versions) if version not in excused), None)
    if accepted == 0:
        return {versions[0]}
    if accepted is None or not every_version:
        return {*versions, None}
    return set(versions[: accepted + 1])


def _equal(one: Published, other: Published) -> bool:
    """Whether two contents are one change, published twice."""
    same_version = (one.version, one.deleted) == (other.version, other.deleted)
    return same_version and not differ(one.digest, other.digest)
