"""Whether a sweep costs less than requests for the products that keyword changes concern. The links end the same."""

import time
from collections import deque
from collections.abc import Callable

from headrace_link.backlog import FEW_KEYWORDS, Backlog
from headrace_link.settings import LinkOptions

WINDOW_SECONDS = 10.0
FEW_PRODUCTS = 1000
"""Up to this many products are always requested one by one."""


class SweepEstimate:
    """Counts the products that keyword changes concern, and extrapolates. `clock`: seconds."""

    def __init__(self, options: LinkOptions, backlog: Backlog, clock: Callable[[], float] = time.monotonic) -> None:
        self._options = options
        self._backlog = backlog
        self._clock = clock
        self._requested: deque[tuple[float, int]] = deque()

    def limit(self, products: int) -> int:
        """The most products, of so many, that keyword changes of the window may concern without a sweep."""
        return self._options.sweep_threshold or max(products // 2, FEW_PRODUCTS)

    def too_many_keywords(self, keywords: int) -> bool:
        """Whether so many keyword changes of one poll cause a sweep without a query for their products."""
        return keywords > self._options.sweep_keywords

    async def exceeds(self, limit: int, *, received: int, probed: int, found: int) -> bool:
        """Whether the keyword changes of the window will concern more than `limit` products.

        `received`: the keyword changes of this poll. `found`: the products that the `probed` ones among them concern.
        Extrapolates from the keywords probed so far to all of the poll and the backlog. Raises Unavailable.
        """
        # Keywords that concern no product are not extrapolated: a change of popularity concerns none.
        factor = (received + await self._load()) / probed if found else 1.0
        return self._lately() + found * factor > limit

    def add(self, products: int) -> None:
        """Counts products that are requested now."""
        self._requested.append((self._clock(), products))

    async def _load(self) -> int:
        """The keywords on their way, if they are more than usual: of a few, most may concern no product."""
        on_their_way = await self._backlog.size()
        return on_their_way if on_their_way > FEW_KEYWORDS else 0

    def _lately(self) -> int:
        while self._requested and self._clock() - self._requested[0][0] > WINDOW_SECONDS:
            self._requested.popleft()
        return sum(products for _, products in self._requested)
