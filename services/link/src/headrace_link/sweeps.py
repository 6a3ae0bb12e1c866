"""A sweep: a request for every product, once the keywords on their way have become visible."""

import asyncio
import uuid
from collections.abc import Iterator

from headrace_link.backlog import FEW_KEYWORDS, Backlog
from headrace_link.catalogue import Catalogue
from headrace_link.point_queries import PointQueries
from headrace_link.product_links import Publish
from headrace_link.records import FROM_SWEEP, SweepMarker, request, sweep
from headrace_worker.stage import Output

PART = 20_000
"""Products whose requests one marker publishes; a larger catalogue is swept in parts."""
POLL_SECONDS = 0.25
POINT_IDS = 2**128
"""The number of point ids. They are hashes, so equal ranges of them contain about equally many products."""


class Sweeps:
    """Turns sweep markers into requests on the topic `relink`.

    `wait`: the longest wait for the backlog, seconds.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        queries: PointQueries,
        backlog: Backlog,
        publish: Publish,
        *,
        topic: str,
        wait: float,
    ) -> None:
        self._catalogue = catalogue
        self._queries = queries
        self._backlog = backlog
        self._publish = publish
        self._topic = topic
        self._wait = wait

    def marker(self) -> Output:
        """The marker of an explicit sweep of all products."""
        return sweep(self._topic, republish=True)

    async def ready(self) -> None:
        """Returns at once if few keywords are on their way: they cost little, and requests wait meanwhile. Otherwise
        when none is any more, or after the longest wait. Raises Unavailable.
        """
        if await self._backlog.size() <= FEW_KEYWORDS:
            return
        try:
            async with asyncio.timeout(self._wait):
                while True:
                    if await self._backlog.empty():
                        return
                    await asyncio.sleep(POLL_SECONDS)
        except TimeoutError:
            return

    async def publish(self, marker: SweepMarker) -> int:
        """Publishes the requests of the marker, or the markers of its parts if the catalogue is large.

        Returns their number. Raises Unavailable or BatchRejected.
        """
        outputs = await self._outputs(marker)
        await self._publish(outputs)
        return len(outputs)

    async def check(self) -> None:
        """Raises Unavailable unless Qdrant and Kafka answer."""
        await self._queries.check()
        await self._backlog.check(self._topic)

    async def _outputs(self, marker: SweepMarker) -> list[Output]:
        """A product that is not live but has a live link set is requested too: its links are removed. An explicit sweep
        also requests the deleted products, because a store may have missed the tombstones of their links.
        """
        again = marker.republish
        if marker.parts == 1:
            count = max(await self._catalogue.count_products(deleted=again), await self._queries.count())
            if count > PART:
                parts = -(-count // PART)
                return [sweep(self._topic, part, parts, marker.carried, republish=again) for part in range(parts)]
        first, beyond = bounds(marker.part, marker.parts)
        products = await self._catalogue.products(first, beyond, deleted=again)
        products |= await self._queries.products(first, beyond, deleted=again)
        carried = (*marker.carried, FROM_SWEEP)
        return [request(self._topic, product_id, carried, republish=again) for product_id in sorted(products)]


def bounds(part: int, parts: int) -> tuple[uuid.UUID, uuid.UUID | None]:
    """The point ids of a part: from the first on, below the second; None: to the end."""
    edges: Iterator[int] = (POINT_IDS * edge // parts for edge in (part, part + 1))
    first, beyond = edges
    return uuid.UUID(int=first), uuid.UUID(int=beyond) if beyond < POINT_IDS else None
