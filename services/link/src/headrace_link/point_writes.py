"""Writes to the collection `product_links`. Each is conditional on the last write of the point."""

import time
from collections.abc import Mapping, Sequence, Set
from uuid import uuid4

from qdrant_client import AsyncQdrantClient, models

from headrace_clients.qdrant import check_completed, point_id, qdrant_errors
from headrace_link.link_set import LinkSet
from headrace_link.point import Opened, Seen, closed_point, new_point, open_fields
from headrace_link.point_queries import Payload, PointQueries, field_is

NO_TOKEN = ""
"""The token of no write. With it a write creates points and replaces none."""


class PointWrites:
    """Looks at points, opens them and closes them: steps 1, 2 and 5 of the protocol in docs/links.md."""

    def __init__(self, client: AsyncQdrantClient, queries: PointQueries) -> None:
        self._client = client
        self._queries = queries

    async def look(self, product_ids: Sequence[str]) -> list[Seen]:
        """The state of each product's point, in the order of the ids. Raises Unavailable or BatchRejected."""
        payloads = await self._queries.payloads(product_ids, ["version", "token", "open", "digest"])
        return [
            Seen(id, stored["version"], stored["token"], None if stored["open"] else stored.get("digest"))
            if (stored := payloads.get(id))
            else Seen(id)
            for id in product_ids
        ]

    async def open(self, seen: Sequence[Seen]) -> list[Opened]:
        """Opens the points that are still as `look` found them, and returns those. Raises Unavailable or BatchRejected.

        The version is the clock's milliseconds, or one above the highest seen if that is more. So the versions go on
        above those in the stores when the collection was lost.
        """
        version = max(time.time_ns() // 1_000_000, 1 + max(one.version for one in seen))
        token = uuid4().hex
        points_by_token: dict[str, list[str]] = {}
        for one in seen:
            if one.token is not None:
                points_by_token.setdefault(one.token, []).append(point_id(one.product_id))
        if points_by_token:
            await self._reopen(points_by_token, open_fields(version, token))
        if new := [new_point(one.product_id, version, token) for one in seen if one.token is None]:
            await self._upsert(new, NO_TOKEN)
        stored = await self._queries.payloads([one.product_id for one in seen], ["token"])
        return [Opened(one, version, token) for one in seen if stored.get(one.product_id, {}).get("token") == token]

    async def close(self, closing: Sequence[tuple[Opened, LinkSet]], *, unpublished: Set[str] = frozenset()) -> None:
        """Closes the points of one opening, except those that another writer has opened since.

        The caller need not know which: that writer reads later. `unpublished`: the products whose set could not be
        published; their points have no digest, so that the next turn tries again. An open point would instead request
        a turn for every change of a keyword. Raises Unavailable or BatchRejected.
        """
        if closing:
            token = uuid4().hex
            points = [
                closed_point(opened, found, token, published=found.product_id not in unpublished)
                for opened, found in closing
            ]
            await self._upsert(points, closing[0][0].token)

    async def _reopen(self, points_by_token: Mapping[str, Sequence[str]], fields: Payload) -> None:
        """Sets the fields of the points whose last write is still that of the token."""
        unchanged = [
            models.Filter(must=[models.HasIdCondition(has_id=list(ids)), field_is("token", token)])
            for token, ids in points_by_token.items()
        ]
        with qdrant_errors("write"):
            result = await self._client.set_payload(
                self._queries.collection,
                fields,
                models.Filter(should=unchanged),
                wait=True,
                ordering=models.WriteOrdering.STRONG,
            )
        check_completed([result])

    async def _upsert(self, points: list[models.PointStruct], token: str) -> None:
        """Writes the points that do not exist, or whose last write is that of the token."""
        with qdrant_errors("write"):
            result = await self._client.upsert(
                self._queries.collection,
                points,
                wait=True,
                ordering=models.WriteOrdering.STRONG,
                update_filter=models.Filter(must=[field_is("token", token)]),
            )
        check_completed([result])
