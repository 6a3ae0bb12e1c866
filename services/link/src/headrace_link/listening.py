"""Receipts into requests: which products a change concerns, read from what is held and never from the receipt."""

import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

import structlog

from headrace_clients.qdrant import connect
from headrace_link import records
from headrace_link.backlog import Backlog
from headrace_link.catalogue import Catalogue, Content
from headrace_link.collection import collection_name
from headrace_link.log_ends import LogEnds
from headrace_link.points import LinkPoints
from headrace_link.records import Reported
from headrace_link.settings import LinkOptions, LinkSettings
from headrace_schemas.fields import Kind
from headrace_worker.stage import Applied, Outcome, Output

log = structlog.get_logger(__name__)

WORKER = "qdrant"
"""Whose receipts say that something has become visible in Qdrant."""
SHARE = 1000
KEYWORDS_AT_ONCE = 64
WINDOW_SECONDS = 10.0
FEW_PRODUCTS = 1000
"""So many may always be asked for one by one."""
LOOKED_AT = ["open", "content_hash", "title"]


@asynccontextmanager
async def open_listening(settings: LinkSettings) -> AsyncIterator["ListeningStage"]:
    """The stage with its clients; no server need be up."""
    async with AsyncExitStack() as stack:
        client = connect(settings.qdrant)
        stack.push_async_callback(client.close)
        ends = LogEnds(settings.kafka)
        stack.push_async_callback(ends.close)
        catalogue = Catalogue(client, settings.model, settings.link.k, settings.link.min_score)
        points = LinkPoints(client, collection_name(settings.model))
        backlog = Backlog(ends, settings.topics, settings.model)
        yield ListeningStage(catalogue, points, backlog, settings.link, settings.topics.relink)


class ListeningStage:
    """Asks for the products that changed, and for those that a changed keyword concerns."""

    def __init__(
        self,
        catalogue: Catalogue,
        points: LinkPoints,
        backlog: Backlog,
        options: LinkOptions,
        topic: str,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._catalogue = catalogue
        self.points = points
        self._backlog = backlog
        self._options = options
        self._topic = topic
        self._asked = Asked(clock)

    async def apply(self, changes: Sequence[Reported]) -> Sequence[Outcome]:
        """What follows from all of the receipts goes out with the first."""
        asked = await self._changed_products(_applied(changes, "product"))
        concerned = await self._concerned_by(_applied(changes, "keyword"))
        outputs = [] if concerned is not None else [records.sweep(self._topic)]
        outputs += [records.request(self._topic, product_id) for product_id in sorted(asked | (concerned or set()))]
        log.info("receipts_heard", batches=len(changes), requests=len(outputs), sweep=concerned is None)
        return [Applied(tuple(outputs)), *(Applied() for _ in changes[1:])]

    async def check(self) -> None:
        """Raises Unavailable unless Qdrant answers."""
        await self.points.count()

    def after_expiry(self) -> Sequence[Output]:
        """Receipts expired unread, and no one knows whose: all products are linked again."""
        return [records.sweep(self._topic)]

    async def _changed_products(self, product_ids: Sequence[str]) -> set[str]:
        """Those whose point is not closed with a set that was computed from what they are now."""
        changed: set[str] = set()
        for start in range(0, len(product_ids), SHARE):
            share = product_ids[start : start + SHARE]
            contents = await self._catalogue.contents(share)
            payloads = await self.points.payloads(share, LOOKED_AT)
            for product_id in share:
                payload = payloads.get(product_id)
                # A tombstone keeps no content, whatever the product was before.
                held = Content(payload.get("content_hash"), payload.get("title")) if payload else None
                if payload is None or payload["open"] or held != contents[product_id]:
                    changed.add(product_id)
        return changed

    async def _concerned_by(self, keyword_ids: Sequence[str]) -> set[str] | None:
        """The products that these keywords concern; None if they are so many that all are better linked again."""
        if not keyword_ids:
            return set()
        products = await self.points.count()
        if products == 0:
            # Whoever is opened from now on is read after these keywords have become visible.
            return set()
        most = self._options.sweep_threshold or max(products // 2, FEW_PRODUCTS)
        if len(keyword_ids) > self._options.sweep_keywords:
            return None
        found: set[str] = set()
        for start in range(0, len(keyword_ids), KEYWORDS_AT_ONCE):
            share = keyword_ids[start : start + KEYWORDS_AT_ONCE]
            found |= await self._concerned(share, most)
            probed = start + len(share)
            if self._asked.lately() + len(found) * await self._to_come(len(keyword_ids), probed, len(found)) > most:
                return None
        self._asked.add(len(found))
        return found

    async def _to_come(self, heard: int, probed: int, found: int) -> float:
        """All keywords that are to be expected, over those that were probed: the first of a bulk load speak for it.

        Of keywords that concern nobody, as after a change of their popularity, any number may come.
        """
        if found == 0:
            return 1.0
        return (heard + await self._backlog.size()) / probed

    async def _concerned(self, keyword_ids: Sequence[str], most: int) -> set[str]:
        """In this order: a point that closes between two of these looks has read what the first one would have
        missed, and one that opens shows in the last.
        """
        keywords = await self._catalogue.keywords(keyword_ids)
        contents = {id: keyword.content if keyword else None for id, keyword in keywords.items()}
        found = await self.points.open_or_outdated(contents)
        vectors = {id: keyword.vector for id, keyword in keywords.items() if keyword}
        if vectors:
            found |= await self.points.reached_by(vectors, most + 1)
            found |= await self.points.open_now()
        return found


class Asked:
    """How many products keywords have asked for in the last seconds. It decides about cost alone."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._counts: deque[tuple[float, int]] = deque()

    def add(self, products: int) -> None:
        """So many more."""
        self._counts.append((self._clock(), products))

    def lately(self) -> int:
        """So many in the window."""
        while self._counts and self._clock() - self._counts[0][0] > WINDOW_SECONDS:
            self._counts.popleft()
        return sum(products for _, products in self._counts)


def _applied(reports: Sequence[Reported], kind: Kind) -> list[str]:
    """The ids of that kind whose change became visible in Qdrant, each once."""
    return list(
        dict.fromkeys(
            receipt.id
            for report in reports
            if report.worker == WORKER
            for receipt in report.receipts
            if receipt.kind == kind and receipt.outcome == "applied" and receipt.id is not None
        )
    )
