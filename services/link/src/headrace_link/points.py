"""The collection `product_links`: every write is conditional on the write that was looked at."""

import uuid
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence

from qdrant_client import AsyncQdrantClient, models

from headrace_link.point import (
    PROBE,
    TOLERANCE,
    LinkSet,
    Opened,
    Seen,
    closed_point,
    open_point,
    probe,
)
from headrace_schemas.links import ProductLinks
from headrace_shared.clients.qdrant import check_completed, point_id
from headrace_shared.clients.qdrant_errors import qdrant_errors

PAGE = 5000
NO_TOKEN = ""
"""No write's token. A condition on nothing at all would be no condition."""
EXACT = models.SearchParams(exact=True)
NAME = ["product_id"]


class LinkPoints:
    """Looks, opens and closes; finds the products that a keyword concerns. `collection`: its physical name."""

    def __init__(self, client: AsyncQdrantClient, collection: str) -> None:
        self._client = client
        self._collection = collection

    async def look(
        self, product_ids: Sequence[str], first_version: int, fields: Sequence[str] | bool = True
    ) -> list[Seen]:
        """Each product's point; an unknown one's first write gets `first_version`."""
        ids = [point_id(product_id) for product_id in product_ids]
        with qdrant_errors():
            points = await self._client.retrieve(
                self._collection, ids, with_payload=fields if isinstance(fields, bool) else list(fields)
            )
        payloads = {str(point.id): point.payload or {} for point in points}
        found = ((product_id, payloads.get(id, {})) for product_id, id in zip(product_ids, ids, strict=True))
        return [Seen(product_id, payload.get("version", first_version - 1), payload) for product_id, payload in found]

    async def open(self, seen: Sequence[Seen]) -> list[Opened]:
        """Opens the points that are still as they were seen, and tells which those are."""
        opened = {one.product_id: open_point(one) for one in seen}
        await self._upsert([point for _, point in opened.values()], [one.token for one in seen if one.token])
        held = await self._tokens(list(opened))
        return [mine for product_id, (mine, _) in opened.items() if held.get(product_id) == mine.token]

    async def close(self, closing: Sequence[tuple[Opened, ProductLinks, LinkSet]]) -> None:
        """Closes the points that are still open by these writes. Whoever was beaten here is done: another has opened
        since, and reads later.
        """
        points = [closed_point(opened, links, found) for opened, links, found in closing]
        await self._upsert(points, [opened.token for opened, _, _ in closing])

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

    async def _upsert(self, points: list[models.PointStruct], tokens: Iterable[str]) -> None:
        """Writes points that are new, or were last written under one of these tokens."""
        unchanged = models.FieldCondition(key="token", match=models.MatchAny(any=[NO_TOKEN, *tokens]))
        with qdrant_errors():
            result = await self._client.upsert(
                self._collection,
                points,
                wait=True,
                ordering=models.WriteOrdering.STRONG,
                update_filter=models.Filter(must=[unchanged]),
            )
        check_completed([result])

    async def _tokens(self, product_ids: Sequence[str]) -> dict[str, str | None]:
        return {seen.product_id: seen.token for seen in await self.look(product_ids, 0, ["token"])}

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
