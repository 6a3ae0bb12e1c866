"""How what a store holds differs from what it must hold."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

import numpy as np
from pydantic import ValidationError

from headrace_expected.entities import Entity, Expected, Published, Rejected, allowed
from headrace_schemas.canary import CANARY_ID
from headrace_schemas.changes import CHANGES
from headrace_schemas.digest import FORM, differ, digest_of
from headrace_schemas.fields import Kind

SAME_VECTOR = 1e-5
"""The largest difference of one component of two equal vectors: a store may normalise a vector again."""


class Difference(StrEnum):
    """Every way in which a store can differ. The last two are no fault of the store."""

    MISSING = "missing"
    STALE = "stale"
    """An older version."""
    EXTRA = "extra"
    """A live entity that was never published, or an entity that is stored twice."""
    RESURRECTED = "resurrected"
    """A deleted entity that is live."""
    WRONG_CONTENT = "wrong_content"
    """Other content under the right version."""
    WRONG_VECTOR = "wrong_vector"
    """The vector of another text, or other values."""
    MISSING_VECTOR = "missing_vector"
    WRONG_MODEL = "wrong_model"
    BROKEN_LINKS = "broken_links"
    """The link set of a product is not the one of `headrace_expected.links`."""
    CONFLICT = "conflict"
    """The highest version was published with two contents, and the store has one of them."""
    AHEAD = "ahead"
    """What the topic may have forgotten: a higher version, or the tombstone of an unknown entity."""

    @property
    def wrong(self) -> bool:
        """Whether it is a fault of the store."""
        return self not in (Difference.CONFLICT, Difference.AHEAD)


@dataclass(frozen=True, slots=True)
class StoredEntity:
    """One entity as a store has it; what is None is not compared. In a store with vectors a live entity without `model`
    has no vector. `vector`: (d,) float32 little-endian.
    """

    id: str
    version: int
    deleted: bool
    digest: str | None = None
    model: str | None = None
    content_hash: str | None = None
    vector: bytes | None = None


@dataclass(frozen=True, slots=True)
class Finding:
    """One difference. `expected`, `stored`: the versions, None where there is none. `detail`: for a person."""

    kind: Kind
    id: str
    difference: Difference
    detail: str
    expected: int | None = None
    stored: int | None = None


@dataclass(frozen=True, slots=True)
class Comparison:
    """The rules for one store. `model`: of its vectors, if it has any. `every_version`: as in `allowed`."""

    rejected: Rejected
    model: str | None = None
    every_version: bool = False

    def differences(
        self, kind: Kind, expected: Mapping[Entity, Expected], stored: Iterable[StoredEntity]
    ) -> Iterator[Finding]:
        """Compares all entities of one kind, both ways."""
        seen: set[str] = set()
        for entity in stored:
            wanted = expected.get((kind, entity.id))
            if entity.id in seen:
                yield Finding(kind, entity.id, Difference.EXTRA, "is stored twice", stored=entity.version)
            elif found := self.difference(kind, entity.id, wanted, entity):
                yield found
            seen.add(entity.id)
        for of_kind, id in expected:
            if of_kind == kind and id not in seen and (found := self.difference(kind, id, expected[kind, id], None)):
                yield found

    def difference(self, kind: Kind, id: str, expected: Expected | None, stored: StoredEntity | None) -> Finding | None:
        """How one entity differs; None if it does not. None for `expected` or `stored`: not published, not stored."""
        what = None if id == CANARY_ID else self._what(expected, stored)
        if what is None:
            return None
        versions = (expected.newest.version if expected else None, stored.version if stored else None)
        return Finding(kind, id, *what, *versions)

    def _what(self, expected: Expected | None, stored: StoredEntity | None) -> tuple[Difference, str] | None:
        if expected is None:
            if stored is None:
                return None
            if stored.deleted:
                return Difference.AHEAD, "is a tombstone of an entity that the topic does not have"
            return Difference.EXTRA, "is live, and was never published"
        excused = self.rejected.get((expected.kind, expected.id), frozenset())
        right = allowed(expected, excused, every_version=self.every_version)
        if stored is None:
            return None if None in right else (Difference.MISSING, "is missing")
        newest = expected.newest
        what = f"has version {stored.version}, the newest is {newest.version}"
        if stored.version > newest.version:
            return Difference.AHEAD, what
        if stored.version in right:
            return self._of_version([one for one in expected.contents if one.version == stored.version], stored)
        if newest.deleted and not expected.conflict and not stored.deleted:
            return Difference.RESURRECTED, f"is live, {what}, a delete"
        return Difference.STALE, what

    def _of_version(self, contents: list[Published], stored: StoredEntity) -> tuple[Difference, str] | None:
        """How an entity differs from every content of its version."""
        same = [one for one in contents if one.deleted == stored.deleted and not differ(one.digest, stored.digest)]
        if not same:
            if not stored.deleted and all(one.deleted for one in contents):
                return Difference.RESURRECTED, f"is live, and version {stored.version} is a delete"
            return Difference.WRONG_CONTENT, f"has other content under version {stored.version}"
        if self.model is not None and not stored.deleted and (wrong := self._wrong_vector(same[0], stored)):
            return wrong
        if len(contents) > 1:
            return Difference.CONFLICT, f"version {stored.version} was published with {len(contents)} contents"
        return None

    def _wrong_vector(self, content: Published, stored: StoredEntity) -> tuple[Difference, str] | None:
        if stored.model is None:
            return Difference.MISSING_VECTOR, f"has no vector of {self.model}"
        if stored.model != self.model:
            return Difference.WRONG_MODEL, f"has a vector of {stored.model}"
        if None not in (hashes := {content.content_hash, stored.content_hash}) and len(hashes) > 1:
            return Difference.WRONG_VECTOR, "has the vector of another text"
        if content.vector is not None and stored.vector is not None and not _close(content.vector, stored.vector):
            return Difference.WRONG_VECTOR, "has a vector with other values"
        return None


def digest_of_fields(kind: Kind, version: int, fields: Mapping[str, object]) -> str | None:
    """The digest of the fields that a store has of a live entity, which may differ from the digest that it has."""
    try:
        change = CHANGES[kind].model_validate({**fields, "op": "upsert", "version": version, "occurred_at": _NO_TIME})
    except ValidationError:
        return f"{FORM}:{version}:invalid"
    return digest_of(change)


_NO_TIME = datetime(1970, 1, 1, tzinfo=UTC)
"""No digest covers the time."""


def _close(one: bytes, other: bytes) -> bool:
    if len(one) != len(other):
        return False
    return bool(np.all(np.abs(np.frombuffer(one, "<f4") - np.frombuffer(other, "<f4")) <= SAME_VECTOR))
