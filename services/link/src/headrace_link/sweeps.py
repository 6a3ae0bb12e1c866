"""A sweep: a request for every product, once the keywords that are on their way have come through."""

import asyncio
import uuid
from collections.abc import Iterator

from headrace_link.backlog import Backlog
from headrace_link.catalogue import Catalogue
from headrace_link.points import LinkPoints
from headrace_link.records import SweepMarker, request, sweep
from headrace_worker.stage import Output

PART = 20_000
"""Products whose requests one handler publishes; a larger catalogue is swept in parts."""
LOOK_SECONDS = 0.25
SPACE = 2**128
"""How many point ids there are. They are hashes, so equal shares of them hold about equally many products."""


class Sweeps:
    """Turns sweep markers into requests. `wait`: the longest wait for the backlog, seconds."""

    def __init__(self, catalogue: Catalogue, points: LinkPoints, backlog: Backlog, topic: str, wait: float) -> None:
        self._catalogue = catalogue
        self._points = points
        self._backlog = backlog
        self._topic = topic
        self._wait = wait

    async def ready(self) -> None:
        """Returns once no keyword is on its way, or after the longest wait. Raises Unavailable."""
        try:
            async with asyncio.timeout(self._wait):
                while True:
                    if await self._backlog.empty():
                        return
                    await asyncio.sleep(LOOK_SECONDS)
        except TimeoutError:
            return

    async def outputs(self, marker: SweepMarker) -> list[Output]:
        """The requests that the marker stands for; of a large catalogue the markers of its parts.

        A product that is live nowhere and has a live link set is asked for too: its links go.
        """
        if marker.parts == 1:
            count = max(await self._catalogue.count_products(), await self._points.count())
            if count > PART:
                parts = -(-count // PART)
                return [sweep(self._topic, part, parts) for part in range(parts)]
        first, beyond = bounds(marker.part, marker.parts)
        products = await self._catalogue.live_products(first, beyond)
        products |= await self._points.live_products(first, beyond)
        return [request(self._topic, product_id) for product_id in sorted(products)]


def bounds(part: int, parts: int) -> tuple[uuid.UUID, uuid.UUID | None]:
    """The point ids of a part: from the first on, below the second; None: to the end."""
    edges: Iterator[int] = (SPACE * edge // parts for edge in (part, part + 1))
    first, beyond = edges
    return uuid.UUID(int=first), uuid.UUID(int=beyond) if beyond < SPACE else None
