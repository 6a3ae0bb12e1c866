"""Finds the points that nobody closes: their writer died after another consumer had committed the request."""

import asyncio

import structlog

from headrace_link.point_queries import PointQueries
from headrace_link.product_links import Publish
from headrace_link.records import request
from headrace_worker.stage import BatchRejected, Unavailable

log = structlog.get_logger(__name__)

LOOK_SECONDS = 60.0
"""Between two looks. A turn takes a second or less."""


class OpenPoints:
    """Requests the products whose point is open in two looks since the same write. `topic`: of the requests."""

    def __init__(self, queries: PointQueries, publish: Publish, topic: str) -> None:
        self._queries = queries
        self._publish = publish
        self._topic = topic
        self._seen: set[tuple[str, str]] = set()
        self._requested: set[tuple[str, str]] = set()

    async def run(self) -> None:
        """Looks every minute until it is cancelled."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            try:
                await self.look()
            except (Unavailable, BatchRejected) as error:
                log.warning("open_points_not_read", error=str(error))

    async def look(self) -> None:
        """Requests each such product, once for each opening. Raises Unavailable or BatchRejected."""
        now = set((await self._queries.open_tokens()).items())
        left_open = (now & self._seen) - self._requested
        self._seen = now
        self._requested &= now
        if left_open:
            await self._publish([request(self._topic, product_id) for product_id, _ in sorted(left_open)])
            self._requested |= left_open
            log.info("open_points_requested", products=len(left_open))
