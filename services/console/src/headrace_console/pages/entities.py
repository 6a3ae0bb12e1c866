"""One product or keyword: its journey, what every store contains, its links, its dead letters and its last receipts."""

from typing import get_args

from fastapi import APIRouter, Request
from fastapi.responses import Response

from headrace_console.dependencies import CurrentBackend
from headrace_console.journey_chart import journey_chart
from headrace_console.page_templates import page
from headrace_console.selection_fields import WrongSelection
from headrace_letters.journey_reading import Depth, EntityReader, letters_of
from headrace_letters.last_receipts import last_receipts
from headrace_schemas.fields import Kind

router = APIRouter()
DEPTH = Depth(published=1000, receipts=500, seconds=2.0)
"""So little that the page does not wait long; the page of the receipts reads more."""


@router.get("/entities")
async def entity(request: Request, backend: CurrentBackend, kind: str = "product", id: str = "") -> Response:
    """The entity; without an id, a search form."""
    of_kind = _kind(kind)
    id = id.strip()
    if not id:
        return page(request, "entities.html", kind=of_kind, id="")
    reader = EntityReader(backend.settings, backend.stores, backend.index, backend.monitor.conditions, DEPTH)
    found = await reader.read(of_kind, id)
    return page(
        request, "entities.html", kind=of_kind, id=id, found=found, chart=journey_chart(found),
        selection=letters_of(id), trace=backend.settings.console.trace_of(found.trace_id),
    )  # fmt: skip


@router.get("/entities/receipts")
async def receipts(request: Request, backend: CurrentBackend, kind: str, id: str) -> Response:
    """The last receipts, on a page of their own, because reading many takes seconds."""
    found = await last_receipts(backend.settings, _kind(kind), id)
    return page(request, "receipts.html", found=found, kind=kind, id=id)


def _kind(kind: str) -> Kind:
    for known in get_args(Kind):
        if kind == known:
            return known  # type: ignore[no-any-return]
    raise WrongSelection("an entity must be a product or a keyword")
