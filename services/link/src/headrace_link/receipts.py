"""The stage of the listener: it reads receipts and requests the products that a change concerns.

A receipt may be late, repeated or out of order. So it only names the entity; the rest is read from Qdrant.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import structlog

from headrace_link import records
from headrace_link.catalogue import Catalogue, Content
from headrace_link.point_queries import PointQueries
from headrace_link.records import Reported
from headrace_link.sweep_estimate import SweepEstimate
from headrace_runtime.trace_context import TRACEPARENT, TraceContext
from headrace_schemas.canary import CANARY_ID
from headrace_schemas.fields import Kind
from headrace_worker.stage import Applied, Outcome, Output

log = structlog.get_logger(__name__)

PRODUCTS_AT_ONCE = 1000
KEYWORDS_AT_ONCE = 64
CONTENT_FIELDS = ["open", "content_hash", "title"]

Traces = Sequence[TraceContext]


class ReceiptStage:
    """Requests the products that changed, and those that a changed keyword concerns. `topic`: of the requests."""

    def __init__(self, catalogue: Catalogue, queries: PointQueries, estimate: SweepEstimate, topic: str) -> None:
        self._catalogue = catalogue
        self._queries = queries
        self._estimate = estimate
        self._topic = topic

    async def apply(self, changes: Sequence[Reported]) -> Sequence[Outcome]:
        """The first outcome carries the requests of all the receipts. Raises Unavailable or BatchRejected."""
        products, keywords = _visible(changes, "product"), _visible(changes, "keyword")
        changed = await self._changed_products(list(products))
        if (of_canary := keywords.pop(CANARY_ID, None)) is not None:
            # The canary keyword concerns the canary product alone, which has the same id and no probe.
            changed.add(CANARY_ID)
            products.setdefault(CANARY_ID, []).extend(of_canary)
        concerned = await self._concerned_by(keywords)
        outputs = [] if concerned is not None else [records.sweep(self._topic, **_continuing(*keywords.values()))]
        outputs += [
            records.request(self._topic, id, **_continuing(products.get(id, ()), *(concerned or {}).get(id, ())))
            for id in sorted(changed | (concerned or {}).keys())
        ]
        log.info("receipts_handled", batches=len(changes), requests=len(outputs), sweep=concerned is None)
        return [Applied(tuple(outputs)), *(Applied() for _ in changes[1:])]

    async def check(self) -> None:
        """Raises Unavailable unless Qdrant answers."""
        await self._queries.check()

    def after_expiry(self) -> Sequence[Output]:
        """Receipts expired before they were read. Their entities are unknown, so all products are linked again."""
        return [records.sweep(self._topic)]

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

    async def _concerned_by(self, keywords: Mapping[str, Traces]) -> dict[str, list[Traces]] | None:
        """The products that these keywords concern, each with the traces of the keywords that were probed together;
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
        concerned: dict[str, list[Traces]] = {}
        for start in range(0, len(keyword_ids), KEYWORDS_AT_ONCE):
            part = keyword_ids[start : start + KEYWORDS_AT_ONCE]
            traces = [trace for keyword_id in part for trace in keywords[keyword_id]]
            for product_id in await self._concerned(part, limit):
                concerned.setdefault(product_id, []).append(traces)
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


def _visible(reports: Sequence[Reported], kind: Kind) -> dict[str, list[TraceContext]]:
    """The ids of this kind whose change became visible in Qdrant, each with the traces of its changes."""
    found: dict[str, list[TraceContext]] = {}
    for report in reports:
        for receipt in report.visible():
            if receipt.kind == kind and receipt.id is not None:
                traces = found.setdefault(receipt.id, [])
                if (trace := report.trace_of(receipt)) is not None:
                    traces.append(trace)
    return found


def _continuing(*groups: Traces) -> dict[str, Any]:
    """The trace of a record that these changes cause: it continues the first sampled one and is linked to the others.

    If none is sampled, it continues the first, so that no later worker decides again.
    """
    traces = [trace for group in groups for trace in group]
    sampled = [trace for trace in traces if trace.sampled]
    if not traces:
        return {}
    first, *others = sampled or traces[:1]
    also_from = tuple(other.traceparent for other in others)
    return {"trace": ((TRACEPARENT, first.traceparent),), "also_from": also_from}
