"""How the workers do."""

from fastapi import APIRouter, Request
from fastapi.responses import Response

from headrace_console.dependencies import Asked
from headrace_console.page_templates import page

router = APIRouter()


@router.get("/workers")
async def workers(request: Request, backend: Asked) -> Response:
    """What was seen at the last look in the background; the page waits for no worker."""
    return page(request, "workers.html", watcher=backend.watcher)
