"""The stage of the listener: it reads receipts and requests the products that a change concerns.

A receipt may be late, repeated or out of order. So it only names the entity; the rest is read from Qdrant.
"""

from collections.abc import Iterator, Mapping, Sequence, Set

import structlog

from headrace_link import records
from headrace_link.catalogue import Catalogue, Content
from headrace_link.causes import Cause, carried_from, visible_changes
from headrace_link.point_queries import PointQueries
from headrace_link.records import Reported
from headrace_link.sweep_estimate import SweepEstimate
from headrace_schemas.canary import CANARY_ID
from headrace_schemas.topics import Topics
from headrace_worker.stage import Applied, Outcome, Output

log = structlog.get_logger(__name__)

PRODUCTS_AT_ONCE = 1000
KEYWORDS_AT_ONCE = 64
FEW_PRODUCTS = 64
"""Keyword changes that concern more products make bulk requests, which give way to those of other changes."""
CONTENT_FIELDS = ["open", "content_hash", "title"]


class ReceiptStage:
    """Requests the products that changed, and those that a changed keyword concerns."""

    def __init__(self, catalogue: Catalogue, queries: PointQueries, estimate: SweepEstimate, topics: Topics) -> None:
        self._catalogue = catalogue
        self._queries = queries
        self._estimate = estimate
        self._topics = topics

    async def apply(self, changes: Sequence[Reported]) -> Sequence[Outcome]:
        """The first outcome carries the requests of all the receipts. Raises Unavailable or BatchRejected."""
        products, keywords = visible_changes(changes, "product"), visible_changes(changes, "keyword")
        changed = await self._changed_products(list(products))
        if (of_canary := keywords.pop(CANARY_ID, None)) is not None:
            # The canary keyword concerns the canary product alone, which has the same id and no probe.
            changed.add(CANARY_ID)
            products.setdefault(CANARY_ID, []).extend(of_canary)
        concerned = await self._concerned_by(keywords)
        if concerned is None:
            outputs = [records.sweep(self._topics.relink_bulk, **carried_from(*keywords.values()))]
        else:
            outputs = []
        outputs += self._requests(changed, products, concerned or {})
        log.info("receipts_handled", batches=len(changes), requests=len(outputs), sweep=concerned is None)
        return [Applied(tuple(outputs)), *(Applied() for _ in changes[1:])]

    async def check(self) -> None:
        """Raises Unavailable unless Qdrant answers."""
        await self._queries.check()

    def after_expiry(self) -> Sequence[Output]:
        """Receipts expired before they were read. Their entities are unknown, so all products are linked again."""
        return [records.sweep(self._topics.relink_bulk)]

    def _requests(
        self,
        changed: Set[str],
        products: Mapping[str, Sequence[Cause]],
        concerned: Mapping[str, Sequence[Sequence[Cause]]],
    ) -> Iterator[Output]:
        """`changed`: products that changed themselves. `concerned`: those that keywords concern, with their changes."""
        of_keywords = self._topics.relink if len(concerned) <= FEW_PRODUCTS else self._topics.relink_bulk
        for id in sorted(changed | concerned.keys()):
            topic = self._topics.relink if id in changed else of_keywords
            yield records.request(topic, id, **carried_from(products.get(id, ()), *concerned.get(id, ())))

    async def _changed_products(self, product_ids: Sequence[str]) -> set[str]:
        """The products whose point is not closed with a set of their present content."""
        changed: set[str] = set()
        for start in range(0, len(product_ids), PRODUCTS_AT_ONCE):
            part = product_ids[start : start + PRODUCTS_AT_ONCE]
            contents = await self._catalogue.contents(part)
            payloads = await self._queries.payloads(part, CONTENT_FIELDS)
            for product_id in part:
                payload = payloads.get(product_id)
                # A tombstone has no content, whatever the product was before.
                linked = Content(payload.get("content_hash"), payload.get("title")) if payload else None
                if payload is None or payload["open"] or linked != contents[product_id]:
                    changed.add(product_id)
        return changed

    async def _concerned_by(self, keywords: Mapping[str, Sequence[Cause]]) -> dict[str, list[Sequence[Cause]]] | None:
        """The products that these keywords concern, each with the changes of the keywords that were probed together;
        None if a sweep costs less than to request them.
        """
        keyword_ids = list(keywords)
        if not keyword_ids:
            return {}
        products = await self._queries.count()
        if products == 0:
            # A product that is opened from now on is read after these keywords have become visible.
            return {}
        if self._estimate.too_many_keywords(len(keyword_ids)):
            return None
        limit = self._estimate.limit(products)
        concerned: dict[str, list[Sequence[Cause]]] = {}
        for start in range(0, len(keyword_ids), KEYWORDS_AT_ONCE):
            part = keyword_ids[start : start + KEYWORDS_AT_ONCE]
            causes = [cause for keyword_id in part for cause in keywords[keyword_id]]
            for product_id in await self._concerned(part, limit):
                concerned.setdefault(product_id, []).append(causes)
            probed = start + len(part)
            if await self._estimate.exceeds(limit, received=len(keyword_ids), probed=probed, found=len(concerned)):
                return None
        self._estimate.add(len(concerned))
        return concerned

    async def _concerned(self, keyword_ids: Sequence[str], limit: int) -> set[str]:
        """The order of the three queries matters: a point that closes between two of them was read after the keywords
        became visible, and the last query finds a point that opens.
        """
        keywords = await self._catalogue.keywords(keyword_ids)
        contents = {id: keyword.content if keyword else None for id, keyword in keywords.items()}
        found = await self._queries.open_or_outdated(contents)
        vectors = {id: keyword.vector for id, keyword in keywords.items() if keyword}
        if vectors:
            found |= await self._queries.reached_by(vectors, limit + 1)
            found |= await self._queries.open_now()
        return found
