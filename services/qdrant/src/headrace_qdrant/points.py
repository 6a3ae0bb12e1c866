"""A change as Qdrant stores it: a point with a vector, or a tombstone, which is a point without one."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
from qdrant_client import models

from headrace_clients.qdrant import VECTOR, below, point_id, version_fields
from headrace_schemas.embedded import EmbeddedChange

HELD_FIELDS = ["version", "content_hash"]
"""The part of a payload that Held is read from."""


@dataclass(frozen=True, slots=True)
class Held:
    """What the store holds for one id. An unknown id holds version 0; a tombstone has no content."""

    version: int = 0
    content_hash: str | None = None


def held(payload: dict[str, Any] | None) -> Held:
    """Reads what a point holds from its payload."""
    payload = payload or {}
    return Held(payload.get("version", 0), payload.get("content_hash"))


def upsert_below(changes: Sequence[EmbeddedChange], version: int) -> models.PointsList:
    """Writes whole points where the store holds a lower version or none. No two changes may be of one id."""
    return models.PointsList(points=[_point(change) for change in changes], update_filter=below(version))


def set_fields(change: EmbeddedChange, seen: Held) -> models.SetPayloadOperation:
    """Writes everything but the vector, where the store still holds what was seen: an older version, same content.

    Null removes a field. Left out are the id, `deleted` and the content hash, which the condition keeps as they are:
    with no indexed field among the values Qdrant updates the payload in place, and the HNSW graph stays as it is.
    """
    assert change.embedding is not None
    fields = {name: getattr(change, name) for name in change.field_names[1:]}
    still = {"version": seen.version, "content_hash": change.embedding.content_hash}
    condition = models.Filter(
        must=[
            models.HasIdCondition(has_id=[point_id(change.id)]),
            *(models.FieldCondition(key=key, match=models.MatchValue(value=value)) for key, value in still.items()),
        ]
    )
    payload = fields | version_fields(change.version)
    return models.SetPayloadOperation(set_payload=models.SetPayload(payload=payload, filter=condition))


def _point(change: EmbeddedChange) -> models.PointStruct:
    id_field = change.field_names[0]
    payload: dict[str, Any] = {id_field: change.id, "deleted": change.deleted} | version_fields(change.version)
    vector: Any = {}
    if change.embedding is None:
        payload["deleted_at"] = datetime.now(UTC).isoformat()
    else:
        payload |= {name: value for name, value in change.fields().items() if value is not None}
        payload |= {"content_hash": change.embedding.content_hash, "model": change.embedding.model}
        vector = {VECTOR: np.frombuffer(change.embedding.vector, "<f4").tolist()}
    # Checking hundreds of floats one by one would cost more than sending them; the vector was checked as an array.
    return models.PointStruct.model_construct(id=point_id(change.id), vector=vector, payload=payload)
