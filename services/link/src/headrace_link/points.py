"""The collection `product_links`: every write is conditional on the write that was looked at."""

import time
import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any
from uuid import uuid4

from qdrant_client import AsyncQdrantClient, models

from headrace_clients.qdrant import check_completed, point_id, qdrant_errors
from headrace_link.point import (
    PROBE,
    TOLERANCE,
    LinkSet,
    Opened,
    Seen,
    closed_point,
    new_point,
    open_fields,
    probe,
)

PAGE = 5000
NO_TOKEN = ""
"""No write's token. A condition on nothing at all would be no condition."""
EXACT = models.SearchParams(exact=True)
NAME = ["product_id"]

Payload = dict[str, Any]


class LinkPoints:
    """Looks, opens and closes; finds the products that a keyword concerns. `collection`: its physical name."""

    def __init__(self, client: AsyncQdrantClient, collection: str) -> None:
        self._client = client
        self._collection = collection

    async def look(self, product_ids: Sequence[str]) -> list[Seen]:
        """Each product's point."""
        payloads = await self.payloads(product_ids, ["version", "token", "open", "digest"])
        return [
            Seen(id, held["version"], held["token"], None if held["open"] else held.get("digest"))
            if (held := payloads.get(id))
            else Seen(id)
            for id in product_ids
        ]

    async def open(self, seen: Sequence[Seen]) -> list[Opened]:
        """Opens the points that are still as they were seen, and tells which those are.

        Versions are the clock's milliseconds, or one above the highest seen: where the collection was lost they go on
        above what the stores hold.
        """
        version = max(time.time_ns() // 1_000_000, 1 + max(one.version for one in seen))
        token = uuid4().hex
        unchanged: dict[str, list[str]] = {}
        for one in seen:
            if one.token is not None:
                unchanged.setdefault(one.token, []).append(point_id(one.product_id))
        if unchanged:
            await self._reopen(unchanged, open_fields(version, token))
        if new := [new_point(one.product_id, version, token) for one in seen if one.token is None]:
            await self._upsert(new, NO_TOKEN)
        held = await self.payloads([one.product_id for one in seen], ["token"])
        return [Opened(one, version, token) for one in seen if held.get(one.product_id, {}).get("token") == token]

    async def close(self, closing: Sequence[tuple[Opened, LinkSet]]) -> None:
        """Closes the points of one opening that are still open by it. Whoever was beaten here is done: another has
        opened since, and reads later.
        """
        if closing:
            token = uuid4().hex
            points = [closed_point(opened, found, token) for opened, found in closing]
            await self._upsert(points, closing[0][0].token)

    async def payloads(self, product_ids: Sequence[str], fields: Sequence[str] | bool = True) -> dict[str, Payload]:
        """What the points of these products hold, of those that are there."""
        by_point = {point_id(product_id): product_id for product_id in product_ids}
        with qdrant_errors():
            points = await self._client.retrieve(
                self._collection, list(by_point), with_payload=fields if isinstance(fields, bool) else list(fields)
            )
        return {by_point[str(point.id)]: point.payload or {} for point in points}

    async def open_or_outdated(self, contents: Mapping[str, str | None]) -> set[str]:
        """The products that are open, or hold one of these keywords with other content.

        `contents`: keyword id to the `content_key` of what it is now; None if it is deleted.
        """
        outdated = [
            models.Filter(
                must=[_is("keyword_ids", keyword_id)],
                must_not=[_is("held", content)] if content else None,
            )
            for keyword_id, content in contents.items()
        ]
        return {name async for name in self._names(models.Filter(should=[_is("open", True), *outdated]))}

    async def open_now(self) -> set[str]:
        """The products that are open."""
        return {name async for name in self._names(models.Filter(must=[_is("open", True)]))}

    async def reached_by(self, vectors: Mapping[str, Sequence[float]], limit: int) -> set[str]:
        """The closed products that do not hold a keyword and should; of each keyword the nearest `limit` at most."""
        searches = [
            models.QueryRequest(
                query=probe(vector),
                using=PROBE,
                limit=limit,
                score_threshold=-TOLERANCE,
                filter=models.Filter(must_not=[_is("keyword_ids", keyword_id)]),
                params=EXACT,
                with_payload=NAME,
            )
            for keyword_id, vector in vectors.items()
        ]
        with qdrant_errors():
            answers = await self._client.query_batch_points(self._collection, searches)
        return {point.payload["product_id"] for answer in answers for point in answer.points if point.payload}

    async def count(self) -> int:
        """How many products a keyword can concern: the live and the open. A tombstone may be open, for a product that
        is made again.
        """
        where = models.Filter(should=[_is("deleted", False), _is("open", True)])
        with qdrant_errors():
            return (await self._client.count(self._collection, count_filter=where, exact=True)).count

    async def live_products(self, first: uuid.UUID, beyond: uuid.UUID | None) -> set[str]:
        """The products that are not tombstones, with point ids from `first` on and below `beyond`."""
        live = models.Filter(must=[_is("deleted", False)])
        return {name async for name in self._names(live, first, beyond)}

    async def scan(self, where: models.Filter | None = None) -> AsyncIterator[models.Record]:
        """Every point, or those of a filter."""
        async for point in self._points(where, True):
            yield point

    async def _reopen(self, unchanged: Mapping[str, Sequence[str]], fields: Payload) -> None:
        """Sets these fields of the points whose last write is still the one that was seen. `unchanged`: its token to
        the ids of the points that it wrote.
        """
        clauses = [
            models.Filter(must=[models.HasIdCondition(has_id=list(ids)), _is("token", token)])
            for token, ids in unchanged.items()
        ]
        with qdrant_errors():
            result = await self._client.set_payload(
                self._collection,
                fields,
                models.Filter(should=clauses),
                wait=True,
                ordering=models.WriteOrdering.STRONG,
            )
        check_completed([result])

    async def _upsert(self, points: list[models.PointStruct], token: str) -> None:
        """Writes points that are new, or whose last write is the one of this token."""
        with qdrant_errors():
            result = await self._client.upsert(
                self._collection,
                points,
                wait=True,
                ordering=models.WriteOrdering.STRONG,
                update_filter=models.Filter(must=[_is("token", token)]),
            )
        check_completed([result])

    async def _names(
        self, where: models.Filter, first: uuid.UUID | None = None, beyond: uuid.UUID | None = None
    ) -> AsyncIterator[str]:
        async for point in self._points(where, NAME, first, beyond):
            yield (point.payload or {})["product_id"]

    async def _points(
        self,
        where: models.Filter | None,
        fields: list[str] | bool,
        first: uuid.UUID | None = None,
        beyond: uuid.UUID | None = None,
    ) -> AsyncIterator[models.Record]:
        offset: models.ExtendedPointId | None = None if first is None else str(first)
        while True:
            with qdrant_errors():
                points, following = await self._client.scroll(
                    self._collection, scroll_filter=where, limit=PAGE, offset=offset, with_payload=fields
                )
            for point in points:
                if beyond is not None and uuid.UUID(str(point.id)) >= beyond:
                    return
                yield point
            if following is None:
                return
            offset = following if isinstance(following, int | str) else str(following)


def _is(key: str, value: str | bool) -> models.FieldCondition:
    return models.FieldCondition(key=key, match=models.MatchValue(value=value))
