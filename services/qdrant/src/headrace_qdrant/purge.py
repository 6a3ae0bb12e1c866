"""Removes old tombstones for good."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from qdrant_client import AsyncQdrantClient, models

from headrace_clients.qdrant import check_completed, qdrant_errors

FIRST_SAFE = (1, 19)
"""Before it, the log of a server may repeat an older write that the fence has skipped, once the point is gone."""
PAGE = 1000
PART = 100
DELETED = models.FieldCondition(key="deleted", match=models.MatchValue(value=True))


def removes_for_good(version: str) -> bool:
    """Whether a server of this version removes a point for good; False for a version that cannot be read."""
    numbers = version.split(".")[:2]
    return all(number.isdecimal() for number in numbers) and tuple(map(int, numbers)) >= FIRST_SAFE


async def remove_tombstones(client: AsyncQdrantClient, collection: str, before: datetime) -> int:
    """Removes those that were written before that time, each on condition that it is still this tombstone."""
    offset: Any = None
    removed = 0
    while True:
        with qdrant_errors("scan"):
            points, offset = await client.scroll(
                collection, models.Filter(must=[DELETED]), limit=PAGE, offset=offset,
                with_payload=["version", "deleted_at"],
            )  # fmt: skip
        old = [point for point in points if _older(point, before)]
        for start in range(0, len(old), PART):
            await _remove(client, collection, old[start : start + PART])
        removed += len(old)
        if offset is None:
            return removed


async def _remove(client: AsyncQdrantClient, collection: str, points: Sequence[models.Record]) -> None:
    exactly = [
        models.Filter(
            must=[
                models.HasIdCondition(has_id=[point.id]),
                DELETED,
                models.FieldCondition(key="version", match=models.MatchValue(value=(point.payload or {})["version"])),
            ]
        )
        for point in points
    ]
    with qdrant_errors("write"):
        done = await client.delete(
            collection, models.FilterSelector(filter=models.Filter(should=list(exactly))), wait=True,
            ordering=models.WriteOrdering.STRONG,
        )  # fmt: skip
    check_completed([done])


def _older(point: models.Record, before: datetime) -> bool:
    """Of the canary, which is hidden and no tombstone, there is no such time."""
    at = (point.payload or {}).get("deleted_at")
    return isinstance(at, str) and datetime.fromisoformat(at) < before
