"""Queries of the collection `product_links`: above all, which products a change of a keyword concerns."""

import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

from qdrant_client import AsyncQdrantClient, models

from headrace_clients.qdrant import point_id, qdrant_errors
from headrace_link.point import CONTENT_KEYS, PROBE, TOLERANCE, probe_query

PAGE = 5000
EXACT = models.SearchParams(exact=True)
ID_ONLY = ["product_id"]

Payload = dict[str, Any]


class PointQueries:
    """Reads one collection. `collection`: its physical name. Every method raises Unavailable or BatchRejected."""

    def __init__(self, client: AsyncQdrantClient, collection: str) -> None:
        self._client = client
        self.collection = collection

    async def payloads(self, product_ids: Sequence[str], fields: Sequence[str] | bool = True) -> dict[str, Payload]:
        """The payloads of the products that have a point. `fields`: which of the payload; True: all."""
        by_point = {point_id(product_id): product_id for product_id in product_ids}
        with qdrant_errors("read"):
            points = await self._client.retrieve(
                self.collection, list(by_point), with_payload=fields if isinstance(fields, bool) else list(fields)
            )
        return {by_point[str(point.id)]: point.payload or {} for point in points}

    async def open_or_outdated(self, contents: Mapping[str, str | None]) -> set[str]:
        """The products whose point is open, or whose set contains one of these keywords with other content.

        `contents`: by keyword id, the `content_key` of the keyword as it is now; None if it is deleted.
        """
        outdated = [
            models.Filter(
                must=[field_is("keyword_ids", keyword_id)],
                must_not=[field_is(CONTENT_KEYS, content)] if content else None,
            )
            for keyword_id, content in contents.items()
        ]
        return {id async for id in self._product_ids(models.Filter(should=[field_is("open", True), *outdated]))}

    async def open_now(self) -> set[str]:
        """The products whose point is open."""
        return set(await self.open_tokens())

    async def open_tokens(self) -> dict[str, str]:
        """The same, each with the token of the write that opened its point."""
        where = models.Filter(must=[field_is("open", True)])
        payloads = [point.payload or {} async for point in self._points(where, ["product_id", "token"])]
        return {payload["product_id"]: payload["token"] for payload in payloads}

    async def reached_by(self, vectors: Mapping[str, Sequence[float]], limit: int) -> set[str]:
        """The closed products whose set lacks one of these keywords and should contain it.

        `vectors`: by keyword id, (d,) L2-normalised. `limit`: of each keyword the nearest products at most.
        """
        searches = [
            models.QueryRequest(
                query=probe_query(vector),
                using=PROBE,
                limit=limit,
                score_threshold=-TOLERANCE,
                filter=models.Filter(must_not=[field_is("keyword_ids", keyword_id)]),
                params=EXACT,
                with_payload=ID_ONLY,
            )
            for keyword_id, vector in vectors.items()
        ]
        with qdrant_errors("search"):
            answers = await self._client.query_batch_points(self.collection, searches)
        return {point.payload["product_id"] for answer in answers for point in answer.points if point.payload}

    async def check(self) -> None:
        """Raises Unavailable unless Qdrant answers and has the collection."""
        with qdrant_errors("check"):
            await self._client.get_collection(self.collection)

    async def count(self) -> int:
        """The number of products that a keyword can concern: live or open. The tombstone of a product that is created
        again may be open.
        """
        where = models.Filter(should=[field_is("deleted", False), field_is("open", True)])
        with qdrant_errors("count"):
            return (await self._client.count(self.collection, count_filter=where, exact=True)).count

    async def count_linked(self, keyword_id: str) -> int:
        """The number of products whose set contains the keyword, without the canary."""
        where = models.Filter(must=[field_is("keyword_ids", keyword_id), field_is("deleted", False)])
        with qdrant_errors("count"):
            return (await self._client.count(self.collection, count_filter=where, exact=True)).count

    async def products(self, first: uuid.UUID, beyond: uuid.UUID | None, *, deleted: bool = False) -> set[str]:
        """The products without a tombstone, whose point ids are `first` or above and below `beyond`; with `deleted`
        those with a tombstone too.
        """
        where = None if deleted else models.Filter(must=[field_is("deleted", False)])
        return {id async for id in self._product_ids(where, first, beyond)}

    async def scan(self, where: models.Filter | None = None) -> AsyncIterator[models.Record]:
        """Every point, or those that a filter selects, with the payload."""
        async for point in self._points(where, True):
            yield point

    async def _product_ids(
        self, where: models.Filter | None, first: uuid.UUID | None = None, beyond: uuid.UUID | None = None
    ) -> AsyncIterator[str]:
        async for point in self._points(where, ID_ONLY, first, beyond):
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
            with qdrant_errors("scan"):
                points, following = await self._client.scroll(
                    self.collection, scroll_filter=where, limit=PAGE, offset=offset, with_payload=fields
                )
            for point in points:
                if beyond is not None and uuid.UUID(str(point.id)) >= beyond:
                    return
                yield point
            if following is None:
                return
            offset = following if isinstance(following, int | str) else str(following)


def field_is(key: str, value: str | bool) -> models.FieldCondition:
    """The condition that a payload field has this value; a list, that it contains it."""
    return models.FieldCondition(key=key, match=models.MatchValue(value=value))
