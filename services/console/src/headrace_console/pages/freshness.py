"""The first page: whether everything is fresh, and what is late."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass

from fastapi import APIRouter, Request
from fastapi.responses import Response

from headrace_console.backend import Backend
from headrace_console.dependencies import CurrentBackend
from headrace_console.freshness import freshness, partition_lags
from headrace_console.page_templates import page
from headrace_console.pages.groups import STEPS, WINDOW, open_count
from headrace_letters.groups import Group
from headrace_letters.selection import Selection
from headrace_worker.stage import Unavailable

router = APIRouter()
MOST_CAUSES = 5
INDEX_WITHIN = 3.0


@router.get("/")
async def first(request: Request, backend: CurrentBackend) -> Response:
    """The last result of the monitor, and the causes of dead letters; it does not wait for workers."""
    stores = backend.stores
    entity_stores, link_stores = await asyncio.to_thread(lambda: (stores.entity_stores, stores.link_stores))
    targets = [name for name in link_stores if name in entity_stores]
    found = freshness(backend.monitor, time.monotonic(), entity_stores, targets)
    return page(
        request, "freshness.html", found=found, monitor=backend.monitor, causes=await _causes(backend),
        open_count=open_count, partition_lags=partition_lags,
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Causes:
    """The causes with the most open letters. `more`: how many there are besides. `problem`: why they are not known."""

    groups: Sequence[Group] = ()
    more: int = 0
    problem: str = ""


async def _causes(backend: Backend) -> _Causes:
    try:
        async with asyncio.timeout(INDEX_WITHIN):
            found = await backend.index.groups(Selection(), window=WINDOW, steps=STEPS)
    except Unavailable as error:
        return _Causes(problem=f"{error.store} does not answer: {error.detail}")
    except TimeoutError:
        return _Causes(problem=f"the index does not answer within {INDEX_WITHIN:.0f} s")
    waiting = sorted((group for group in found if open_count(group)), key=lambda group: -open_count(group))
    return _Causes(waiting[:MOST_CAUSES], max(0, len(waiting) - MOST_CAUSES))
