"""The causes of dead letters, and one cause."""

import asyncio
from datetime import timedelta

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import Response

from headrace_console.dependencies import CurrentBackend, QuerySelection
from headrace_console.job_chart import by_status
from headrace_console.page_templates import page
from headrace_console.pages.letters import PAGE, letters_page
from headrace_letters.groups import Group
from headrace_letters.selection import Selection

router = APIRouter()
OPEN = ("waiting", "replaying", "parked")
"""Letters with these statuses still need an operator."""
WINDOW = timedelta(hours=24)
STEPS = 24


@router.get("/causes")
async def groups(request: Request, backend: CurrentBackend, selection: QuerySelection, all: bool = False) -> Response:
    """The causes with open letters; with `all`, the causes without open letters too."""
    found, counts = await asyncio.gather(
        backend.index.groups(selection, window=WINDOW, steps=STEPS), backend.index.count(selection)
    )
    shown = [group for group in found if all or open_count(group)]
    shown.sort(key=lambda group: (-open_count(group), -group.last_seen.timestamp()))
    return page(
        request, "groups.html", groups=shown, hidden=len(found) - len(shown), counts=counts, all=all,
        open_count=open_count,
    )  # fmt: skip


@router.get("/group")
async def group(
    request: Request, backend: CurrentBackend, selection: QuerySelection, after: str | None = None
) -> Response:
    """One cause and its letters; `status` and the other filters select the letters."""
    cause = Selection(fingerprint=selection.fingerprint)
    found = await backend.index.groups(cause, window=WINDOW, steps=STEPS) if selection.fingerprint else []
    if not found:
        raise HTTPException(404, "there is no dead letter with this cause")
    letters = await letters_page(backend, selection, after, PAGE)
    return page(
        request, "group.html", group=found[0], selection=selection, cause=cause, letters=letters,
        after=after, open_count=open_count, parts=by_status(found[0].counts),
    )  # fmt: skip


def open_count(group: Group) -> int:
    """The number of its letters that still need an operator."""
    return sum(number for status, number in group.counts.items() if status in OPEN)
