"""One product or keyword: what every store holds of it, its links, its dead letters, its last receipts."""

import asyncio
from typing import get_args

from fastapi import APIRouter, Request
from fastapi.responses import Response

from headrace_console.dependencies import Asked
from headrace_console.last_receipts import last_receipts
from headrace_console.page_templates import page
from headrace_console.pages.letters import letters_page
from headrace_console.selection_fields import WrongSelection
from headrace_console.store_answers import entity_in_stores, link_set_in_stores, linked_products
from headrace_letters.selection import Selection
from headrace_schemas.fields import Kind

router = APIRouter()
MOST_LETTERS = 10


@router.get("/entities")
async def entity(request: Request, backend: Asked, kind: str = "product", id: str = "") -> Response:
    """Without an id, the form to search for one."""
    of_kind = _kind(kind)
    id = id.strip()
    if not id:
        return page(request, "entities.html", kind=of_kind, id="")
    selection = Selection(key=id.encode(errors="surrogatepass"))
    linking = link_set_in_stores(backend.stores, id) if of_kind == "product" else linked_products(backend.stores, id)
    held, links, letters = await asyncio.gather(
        entity_in_stores(backend.stores, of_kind, id), linking, letters_page(backend, selection, None, MOST_LETTERS)
    )
    known = [one.version for one in held if one.version is not None]
    return page(
        request, "entities.html", kind=of_kind, id=id, held=held, links=links, letters=letters, selection=selection,
        newest=max(known, default=None),
    )  # fmt: skip


@router.get("/entities/receipts")
async def receipts(request: Request, backend: Asked, kind: str, id: str, part: bool = False) -> Response:
    """Apart from the rest, because it reads through the end of a topic. `part`: only what goes into the other page."""
    found = await last_receipts(backend.settings, _kind(kind), id)
    return page(request, "receipts_part.html" if part else "receipts.html", found=found, kind=kind, id=id)


def _kind(kind: str) -> Kind:
    for known in get_args(Kind):
        if kind == known:
            return known  # type: ignore[no-any-return]
    raise WrongSelection("an entity is a product or a keyword")
