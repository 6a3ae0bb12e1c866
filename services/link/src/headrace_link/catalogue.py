"""The current products and keywords, read from the collections that the qdrant worker writes."""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from qdrant_client import AsyncQdrantClient, models

from headrace_clients.qdrant import VECTOR, current_collection, point_id, qdrant_errors
from headrace_link.link_set import SHOWN, LinkSet, Neighbour, content_key
from headrace_schemas.canary import CANARY_ID
from headrace_schemas.fields import Kind
from headrace_worker.store_names import StoreNames

PAGE = 5000
LIVE = models.Filter(must=[models.FieldCondition(key="deleted", match=models.MatchValue(value=False))])
CANARY = models.Filter(must=[models.FieldCondition(key="keyword_id", match=models.MatchValue(value=CANARY_ID))])
EXACT = models.SearchParams(exact=True)
NEIGHBOUR_FIELDS = ["keyword_id", "text", "content_hash"]


@dataclass(frozen=True, slots=True)
class Keyword:
    """A live keyword. `vector`: (d,), L2-normalised. `content`: its `content_key`."""

    vector: Sequence[float]
    content: str


@dataclass(frozen=True, slots=True)
class Content:
    """The part of a product that its link set depends on, with the title as sets show it. The fields of a deleted
    product are None.
    """

    content_hash: str | None = None
    title: str | None = None


class Catalogue:
    """Products and keywords of one model. A product has at most `k` links, each with a cosine of `min_score` or more.

    Every method raises Unavailable or BatchRejected.
    """

    def __init__(self, client: AsyncQdrantClient, names: StoreNames, k: int, min_score: float) -> None:
        self._client = client
        self._products = current_collection("product", names)
        self._keywords = current_collection("keyword", names)
        self._k = k
        self._min_score = min_score

    async def link_sets(self, product_ids: Sequence[str]) -> list[LinkSet]:
        """The set that each product should have now: its exact nearest live keywords, best first."""
        points = await self._retrieve("product", product_ids, ["title", "content_hash"], True)
        vectors = {id: _vector(points[id]) for id in product_ids if id in points and _has_content(points[id])}
        nearest = dict(zip(vectors, await self._nearest(vectors), strict=True))
        return [self._link_set(id, points[id], nearest[id]) if id in nearest else LinkSet(id) for id in product_ids]

    async def contents(self, product_ids: Sequence[str]) -> dict[str, Content]:
        """The content of each product; the fields of a missing product are None."""
        points = await self._retrieve("product", product_ids, ["content_hash", "title"], False)
        payloads = {id: point.payload or {} for id, point in points.items()}
        found = {id: payloads.get(id, {}) for id in product_ids}
        return {id: Content(payload.get("content_hash"), _shown_title(payload)) for id, payload in found.items()}

    async def keywords(self, keyword_ids: Sequence[str]) -> dict[str, Keyword | None]:
        """Each keyword as it is now; None if it is deleted or missing."""
        points = await self._retrieve("keyword", keyword_ids, ["content_hash", "text"], True)
        found: dict[str, Keyword | None] = dict.fromkeys(keyword_ids)
        for id, point in points.items():
            payload = point.payload or {}
            if _has_content(point):
                found[id] = Keyword(_vector(point), content_key(id, payload["content_hash"], payload["text"]))
        return found

    async def count_products(self, *, deleted: bool = False) -> int:
        """The number of live products; with `deleted` of all that ever were."""
        with qdrant_errors("count"):
            where = None if deleted else LIVE
            return (await self._client.count(self._products, count_filter=where, exact=True)).count

    async def products(self, first: uuid.UUID, beyond: uuid.UUID | None, *, deleted: bool = False) -> set[str]:
        """The live products whose point ids are `first` or above and below `beyond`; with `deleted` the others too."""
        found: set[str] = set()
        offset: Any = str(first)
        while True:
            with qdrant_errors("scan"):
                points, offset = await self._client.scroll(
                    self._products,
                    scroll_filter=None if deleted else LIVE,
                    limit=PAGE,
                    offset=offset,
                    with_payload=["product_id"],
                )
            for point in points:
                if beyond is not None and uuid.UUID(str(point.id)) >= beyond:
                    return found
                found.add((point.payload or {})["product_id"])
            if offset is None:
                return found

    async def _retrieve(
        self, kind: Kind, ids: Sequence[str], fields: list[str], with_vectors: bool
    ) -> dict[str, models.Record]:
        collection = self._products if kind == "product" else self._keywords
        by_point = {point_id(id): id for id in ids}
        with qdrant_errors("read"):
            points = await self._client.retrieve(
                collection, list(by_point), with_payload=fields, with_vectors=[VECTOR] if with_vectors else False
            )
        return {by_point[str(point.id)]: point for point in points}

    async def _nearest(self, vectors: Mapping[str, Sequence[float]]) -> list[list[Neighbour]]:
        """`vectors`: by product id. The canary product has one keyword, the canary keyword, at any distance."""
        if not vectors:
            return []
        least = self._min_score if self._min_score > -1 else None
        searches = [
            models.QueryRequest.model_construct(
                # An array, because the client deep-copies each request, and copies a list number by number.
                query=np.asarray(vector),  # type: ignore[arg-type]  # the client's methods take arrays
                using=VECTOR,
                limit=self._k,
                score_threshold=None if product_id == CANARY_ID else least,
                filter=CANARY if product_id == CANARY_ID else LIVE,
                params=EXACT,
                with_payload=NEIGHBOUR_FIELDS,
            )
            for product_id, vector in vectors.items()
        ]
        with qdrant_errors("search"):
            answers = await self._client.query_batch_points(self._keywords, searches)
        return [[_neighbour(point.payload or {}, point.score) for point in answer.points] for answer in answers]

    def _link_set(self, product_id: str, point: models.Record, neighbours: list[Neighbour]) -> LinkSet:
        payload = point.payload or {}
        neighbours.sort(key=lambda n: (-n.score, n.keyword_id))
        floor = neighbours[-1].score if len(neighbours) == self._k else self._min_score
        return LinkSet(product_id, _vector(point), _shown_title(payload), payload["content_hash"], neighbours, floor)


def _has_content(point: models.Record) -> bool:
    """Whether the entity exists. The canary does, although it is marked as deleted."""
    return "content_hash" in (point.payload or {})


def _vector(point: models.Record) -> list[float]:
    vectors = point.vector
    assert isinstance(vectors, Mapping)
    vector = vectors[VECTOR]
    assert isinstance(vector, list)
    return vector  # type: ignore[return-value]  # a dense vector: the collection has no other


def _shown_title(payload: Mapping[str, Any]) -> str | None:
    title: str | None = payload.get("title")
    return title and title[: SHOWN.title]


def _neighbour(payload: dict[str, Any], score: float) -> Neighbour:
    return Neighbour(payload["keyword_id"], payload["text"], payload["content_hash"], score)
