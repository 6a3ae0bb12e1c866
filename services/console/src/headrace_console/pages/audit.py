"""The audit log: who did what, when and why."""

from fastapi import APIRouter, Request
from fastapi.responses import Response

from headrace_console.dependencies import CurrentBackend
from headrace_console.page_templates import page

router = APIRouter()
PAGE = 50


@router.get("/audit")
async def audit(request: Request, backend: CurrentBackend, before: int | None = None) -> Response:
    """The newest actions first, fifty at a time."""
    rows = await backend.index.audit(limit=PAGE + 1, before=before)
    older = rows[PAGE - 1].number if len(rows) > PAGE else None
    return page(request, "audit.html", rows=rows[:PAGE], older=older, before=before)
