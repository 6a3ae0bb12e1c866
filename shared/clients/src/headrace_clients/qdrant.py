"""Qdrant as the workers use it: the connection, the points' ids and the fence of a write.

Qdrant's range condition compares as float64, which takes neighbouring versions above 2^53 for equal. So a point's
payload holds its version also as two integers of 32 bits, and the fence compares those.
"""

import uuid
from collections.abc import Iterable
from functools import lru_cache

import httpx
from qdrant_client import AsyncQdrantClient, models

from headrace_clients.qdrant_errors import STORE
from headrace_schemas.fields import Kind
from headrace_schemas.topics import SOURCE_NAMES
from headrace_worker.settings import QdrantSettings
from headrace_worker.stage import Unavailable

VECTOR = "dense"
"""The name of the one vector that an entity's point has."""
IDLE_SECONDS = 2.0
"""A connection is kept this long for the next request: below the 5 s after which servers hang up."""
LOW_BITS = 32
LOW_MASK = (1 << LOW_BITS) - 1


def connect(settings: QdrantSettings) -> AsyncQdrantClient:
    """A client that has not asked the server anything yet: the server need not be up."""
    return AsyncQdrantClient(
        url=settings.url,
        grpc_port=settings.grpc_port,
        prefer_grpc=settings.prefer_grpc,
        api_key=settings.api_key.get_secret_value() if settings.api_key else None,
        timeout=settings.timeout,
        check_compatibility=False,
        limits=httpx.Limits(keepalive_expiry=IDLE_SECONDS),
    )


def collection_of(kind: Kind, model: str) -> str:
    """The physical collection of a kind: vectors of two models never share one."""
    return f"{SOURCE_NAMES[kind]}__{model}"


@lru_cache(maxsize=8192)
def point_id(entity_id: str) -> str:
    """The UUIDv5 of an entity's id: Qdrant's own ids are UUIDs or integers. Each write asks for it several times."""
    return str(uuid.uuid5(uuid.NAMESPACE_OID, entity_id))


def version_fields(version: int) -> dict[str, int]:
    """The payload's version, whole for readers and in two halves for the fence."""
    return {"version": version, "version_hi": version >> LOW_BITS, "version_lo": version & LOW_MASK}


def below(version: int) -> models.Filter:
    """Matches the points whose version is lower, exactly for every version from 1 to 2^63-1."""
    high, low = version >> LOW_BITS, version & LOW_MASK
    same_high = models.FieldCondition(key="version_hi", match=models.MatchValue(value=high))
    lower_low = models.FieldCondition(key="version_lo", range=models.Range(lt=low))
    return models.Filter(
        should=[
            models.FieldCondition(key="version_hi", range=models.Range(lt=high)),
            models.Filter(must=[same_high, lower_low]),
        ]
    )


def check_completed(results: Iterable[models.UpdateResult]) -> None:
    """Raises Unavailable unless every write was applied: an acknowledged one may still be lost or refused."""
    for result in results:
        if result.status is not models.UpdateStatus.COMPLETED:
            raise Unavailable(STORE, f"a write was only {result.status.value}")
