"""One product or keyword: what every store contains, its links, its dead letters and its last receipts."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import get_args

from fastapi import APIRouter, Request
from fastapi.responses import Response

from headrace_console.backend import Backend
from headrace_console.dependencies import CurrentBackend
from headrace_console.last_receipts import last_receipts
from headrace_console.newest_published import newest_published
from headrace_console.page_templates import page
from headrace_console.pages.letters import letters_page
from headrace_console.selection_fields import WrongSelection
from headrace_console.store_answers import ANSWER_SECONDS, entity_in_stores, link_set_in_stores, linked_products
from headrace_letters.letter_rows import IndexedLetter
from headrace_letters.selection import Selection
from headrace_schemas.fields import Kind
from headrace_worker.stage import Unavailable

router = APIRouter()
MOST_LETTERS = 10


@router.get("/entities")
async def entity(request: Request, backend: CurrentBackend, kind: str = "product", id: str = "") -> Response:
    """The entity; without an id, a search form."""
    of_kind = _kind(kind)
    id = id.strip()
    if not id:
        return page(request, "entities.html", kind=of_kind, id="")
    selection = Selection(key=id.encode(errors="surrogatepass"))
    linking = link_set_in_stores(backend.stores, id) if of_kind == "product" else linked_products(backend.stores, id)
    stored, links, letters, published = await asyncio.gather(
        entity_in_stores(backend.stores, of_kind, id),
        linking,
        _letters(backend, selection),
        newest_published(backend.settings, of_kind, id),
    )
    # Letters with this key may also be of a link set, whose version is not one of the catalogue's.
    failed = [row.letter.version for row in letters.rows if row.letter.kind == of_kind]
    known = [published.version, *(one.version for one in stored), *failed]
    return page(
        request, "entities.html", kind=of_kind, id=id, stored=stored, links=links, letters=letters, selection=selection,
        newest=max((version for version in known if version is not None), default=None), published=published,
    )  # fmt: skip


@router.get("/entities/receipts")
async def receipts(request: Request, backend: CurrentBackend, kind: str, id: str, part: bool = False) -> Response:
    """The last receipts, on a page of their own, because reading them takes seconds. `part`: only the table."""
    found = await last_receipts(backend.settings, _kind(kind), id)
    return page(request, "receipts_part.html" if part else "receipts.html", found=found, kind=kind, id=id)


@dataclass(frozen=True, slots=True)
class _Letters:
    """The entity's newest dead letters. `more`: whether it has others. `problem`: why they are not known."""

    rows: Sequence[IndexedLetter] = ()
    more: bool = False
    problem: str = ""


async def _letters(backend: Backend, selection: Selection) -> _Letters:
    """Never raises Unavailable: without the index the page shows what the stores contain."""
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            found = await letters_page(backend, selection, None, MOST_LETTERS)
    except Unavailable as error:
        return _Letters(problem=f"{error.store} does not answer: {error.detail}")
    except TimeoutError:
        return _Letters(problem=f"the index does not answer within {ANSWER_SECONDS:.0f} s")
    return _Letters(found.letters, found.next is not None)


def _kind(kind: str) -> Kind:
    for known in get_args(Kind):
        if kind == known:
            return known  # type: ignore[no-any-return]
    raise WrongSelection("an entity must be a product or a keyword")
