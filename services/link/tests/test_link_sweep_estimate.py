"""When a sweep costs less than single requests, and whether it waits for keywords on their way."""

import time
from typing import Any

import pytest

from headrace_link.backlog import FEW_KEYWORDS
from headrace_link.settings import LinkOptions
from headrace_link.sweep_estimate import SweepEstimate
from headrace_link.sweeps import Sweeps


class Backlog:
    """So many keywords are on their way, however long one waits."""

    def __init__(self, keywords: int) -> None:
        self.keywords = keywords

    async def size(self) -> int:
        return self.keywords

    async def empty(self) -> bool:
        return False


@pytest.mark.parametrize(
    ("on_their_way", "probed", "found", "sweep"),
    [
        (0, 1, 1001, True),
        (0, 1, 1000, False),
        (5, 1, 300, False),
        (FEW_KEYWORDS, 1, 300, False),
        (5000, 1, 300, True),
        (5000, 1, 0, False),
    ],
)
async def test_a_few_keywords_on_their_way_are_no_load(on_their_way: int, probed: int, found: int, sweep: bool) -> None:
    backlog: Any = Backlog(on_their_way)
    estimate = SweepEstimate(LinkOptions(), backlog)
    limit = estimate.limit(2000)
    assert await estimate.exceeds(limit, received=probed, probed=probed, found=found) is sweep


@pytest.mark.parametrize(("on_their_way", "waits"), [(0, False), (FEW_KEYWORDS, False), (1000, True)])
async def test_a_sweep_waits_only_for_many_keywords(on_their_way: int, waits: bool) -> None:
    backlog: Any = Backlog(on_their_way)
    unused: Any = None
    sweeps = Sweeps(unused, unused, backlog, unused, topic="relink-bulk", wait=0.3)
    began = time.monotonic()
    await sweeps.ready()
    assert (time.monotonic() - began >= 0.3) is waits
