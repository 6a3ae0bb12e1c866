"""The state of the workers."""

from fastapi import APIRouter, Request
from fastapi.responses import Response

from headrace_console.dependencies import CurrentBackend
from headrace_console.freshness import partition_lags
from headrace_console.page_templates import page

router = APIRouter()

MOST_SHOWN = 20
"""Partitions that are behind."""


@router.get("/workers")
async def workers(request: Request, backend: CurrentBackend) -> Response:
    """The last result of the monitor; the page does not wait for workers."""
    behind = partition_lags(backend.monitor, *backend.monitor.watched)
    first, others = behind[:MOST_SHOWN], len(behind[MOST_SHOWN:])
    return page(request, "workers.html", monitor=backend.monitor, behind=first, others=others)
