"""A change as a point of Qdrant, and the writes that bring a collection to a batch of changes.

An upsert is a point with a vector, a tombstone is a point without one.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
from qdrant_client import models

from headrace_clients.qdrant import VECTOR, below, point_id, version_fields
from headrace_schemas.canary import CANARY_ID
from headrace_schemas.digest import differ
from headrace_schemas.embedded import EmbeddedChange
from headrace_worker.stage import Applied, Conflict, Outcome, Superseded

SEEN_FIELDS = ["version", "content_hash", "digest"]
"""The part of a payload that `Seen` is read from."""


@dataclass(frozen=True, slots=True)
class Seen:
    """The state of a point when it was read. Version 0: there is no such point. A tombstone has no content."""

    version: int = 0
    content_hash: str | None = None
    digest: str | None = None


NOTHING = Seen()


@dataclass(frozen=True, slots=True)
class Writes:
    """The writes to send. Each write has its own condition on what the collection stores when the write arrives: writes
    planned from an outdated read leave work undone, but they never store an older version.

    `upsert`: the largest group of changes that share a fence. `operations`: an upsert of each other group, and an
    operation for each change that keeps its vector.
    """

    upsert: models.PointsList | None
    operations: list[models.UpdateOperation]


def seen(payload: dict[str, Any] | None) -> Seen:
    """The state in a point's payload."""
    payload = payload or {}
    return Seen(payload.get("version", 0), payload.get("content_hash"), payload.get("digest"))


def newer_than_stored(changes: Iterable[EmbeddedChange], stored: Mapping[str, Seen]) -> list[EmbeddedChange]:
    """The changes that are still to be written."""
    return [change for change in changes if change.version > stored.get(change.id, NOTHING).version]


def writes(changes: Iterable[EmbeddedChange], stored: Mapping[str, Seen]) -> Writes:
    """The fewest writes for changes that are newer than what is stored."""
    with_vector: list[EmbeddedChange] = []
    operations: list[models.UpdateOperation] = []
    for change in changes:
        before = stored.get(change.id, NOTHING)
        if change.embedding and change.embedding.content_hash == before.content_hash:
            operations.append(set_fields(change, before))
        else:
            with_vector.append(change)
    largest, *others = sorted(groups_sharing_a_fence(with_vector, stored), key=len, reverse=True) or [[]]
    operations += [models.UpsertOperation(upsert=upsert_below(group, group[0].version)) for group in others]
    return Writes(upsert_below(largest, largest[0].version) if largest else None, operations)


def groups_sharing_a_fence(changes: Iterable[EmbeddedChange], stored: Mapping[str, Seen]) -> list[list[EmbeddedChange]]:
    """The fewest groups such that one fence serves each: the group's smallest version, whose change comes first.

    A fence X serves a change if stored < X <= new. So this is the smallest number of points that hit every interval
    (stored, new], found by taking the right ends in ascending order.
    """
    groups: list[list[EmbeddedChange]] = []
    for change in sorted(changes, key=lambda change: change.version):
        if groups and stored.get(change.id, NOTHING).version < groups[-1][0].version:
            groups[-1].append(change)
        else:
            groups.append([change])
    return groups


def upsert_below(changes: Sequence[EmbeddedChange], version: int) -> models.PointsList:
    """Writes whole points where a lower version or none is stored. Each change must have another id."""
    return models.PointsList(points=[_point(change) for change in changes], update_filter=below(version))


def set_fields(change: EmbeddedChange, before: Seen) -> models.SetPayloadOperation:
    """Writes everything but the vector, on condition that the point is still as it was read: older, with the same text.

    Null removes a field. The id, `deleted` and the content hash are not sent, because the condition keeps them as they
    are: without an indexed field among the values Qdrant updates the payload in place, and the HNSW graph stays.
    """
    assert change.embedding is not None
    fields = {name: getattr(change, name) for name in change.field_names[1:]}
    expected = {"version": before.version, "content_hash": change.embedding.content_hash}
    condition = models.Filter(
        must=[
            models.HasIdCondition(has_id=[point_id(change.id)]),
            *(models.FieldCondition(key=key, match=models.MatchValue(value=value)) for key, value in expected.items()),
        ]
    )
    payload = fields | version_fields(change.version) | {"digest": change.digest}
    return models.SetPayloadOperation(set_payload=models.SetPayload(payload=payload, filter=condition))


def of_version(entity_id: str, version: int) -> models.Filter:
    """Matches the point of the entity if it has exactly this version."""
    match = models.FieldCondition(key="version", match=models.MatchValue(value=version))
    return models.Filter(must=[models.HasIdCondition(has_id=[point_id(entity_id)]), match])


def outcomes(changes: Sequence[EmbeddedChange], stored: Mapping[str, Seen]) -> list[Outcome]:
    """The outcomes of changes, if no change is newer than what is stored."""
    return [_outcome(change, stored[change.id]) for change in changes]


def _outcome(change: EmbeddedChange, stored: Seen) -> Outcome:
    if stored.version != change.version:
        return Superseded(by=stored.version)
    return Conflict() if differ(stored.digest, change.digest) else Applied()


def _point(change: EmbeddedChange) -> models.PointStruct:
    id_field = change.field_names[0]
    # Readers leave out what is deleted, and so the canary, which has a vector all the same.
    hidden = change.deleted or change.id == CANARY_ID
    payload: dict[str, Any] = {id_field: change.id, "deleted": hidden} | version_fields(change.version)
    if change.digest is not None:
        payload["digest"] = change.digest
    vector: Any = {}
    if change.embedding is None:
        payload["deleted_at"] = datetime.now(UTC).isoformat()
    else:
        payload |= {name: value for name, value in change.fields().items() if value is not None}
        payload |= {"content_hash": change.embedding.content_hash, "model": change.embedding.model}
        vector = {VECTOR: np.frombuffer(change.embedding.vector, "<f4").tolist()}
    # The vector was checked as an array. To validate hundreds of floats one by one costs more than to send them.
    return models.PointStruct.model_construct(id=point_id(change.id), vector=vector, payload=payload)
