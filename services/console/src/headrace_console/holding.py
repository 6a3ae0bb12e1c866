"""What each store holds for one id, asked of all at once; a store that does not answer hides no other."""

import asyncio
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass, field
from typing import Any

from headrace_letters.store_contents import Holdings
from headrace_schemas.fields import RecordKind
from headrace_schemas.links import Link
from headrace_worker.stage import Unavailable
from headrace_worker.store import LinkedProduct

ANSWER_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class HeldBy:
    """One store's answer. `version`: None if it has never held the id. `problem`: why it gave none."""

    store: str
    version: int | None = None
    deleted: bool = False
    fields: dict[str, Any] = field(default_factory=dict)
    content_hash: str | None = None
    model: str | None = None
    links: Sequence[Link] = ()
    problem: str = ""


async def held_by_stores(holdings: Holdings, kind: RecordKind, id: str) -> list[HeldBy]:
    """One for each store that keeps the kind: entities, or link sets for what is about links."""
    if kind == "product" or kind == "keyword":
        return list(await asyncio.gather(*(_entity(holdings, name, kind, id) for name in holdings.stores)))
    if kind in ("product_links", "relink"):
        return await link_sets(holdings, id)
    return []


async def link_sets(holdings: Holdings, product_id: str) -> list[HeldBy]:
    """The product's links in each store that keeps some."""
    return list(await asyncio.gather(*(_links(holdings, name, product_id) for name in holdings.link_stores)))


async def _entity(holdings: Holdings, name: str, kind: Any, id: str) -> HeldBy:
    return await _answered(name, _held_entity(holdings, name, kind, id))


async def _held_entity(holdings: Holdings, name: str, kind: Any, id: str) -> HeldBy:
    stored = (await holdings.entities(name, kind, [id])).get(id)
    if stored is None:
        return HeldBy(name)
    return HeldBy(name, stored.version, stored.deleted, stored.fields, stored.content_hash, stored.model)


async def _links(holdings: Holdings, name: str, product_id: str) -> HeldBy:
    return await _answered(name, _held_links(holdings, name, product_id))


async def _held_links(holdings: Holdings, name: str, product_id: str) -> HeldBy:
    links = (await holdings.link_sets(name, [product_id])).get(product_id)
    if links is None:
        return HeldBy(name)
    return HeldBy(name, links.version, links.deleted, {"title": links.title}, links=links.links)


async def _answered(name: str, asking: Awaitable[HeldBy]) -> HeldBy:
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            return await asking
    except Unavailable as error:
        return HeldBy(name, problem=f"does not answer: {error.detail}")
    except TimeoutError:
        return HeldBy(name, problem=f"does not answer within {ANSWER_SECONDS:.0f} s")


@dataclass(frozen=True, slots=True)
class LinkedBy:
    """The products that one store links to a keyword, best first, a few of them."""

    store: str
    products: Sequence[LinkedProduct] = ()
    problem: str = ""


async def linked_products(holdings: Holdings, keyword_id: str, limit: int = 20) -> list[LinkedBy]:
    """From each store that keeps link sets."""
    return list(await asyncio.gather(*(_products(holdings, name, keyword_id, limit) for name in holdings.link_stores)))


async def _products(holdings: Holdings, name: str, keyword_id: str, limit: int) -> LinkedBy:
    place = holdings.workplace(name)
    assert place.worker.links is not None
    store = place.worker.links(place.settings)
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            return LinkedBy(name, await store.products_of(keyword_id, limit))
    except Unavailable as error:
        return LinkedBy(name, problem=f"does not answer: {error.detail}")
    except TimeoutError:
        return LinkedBy(name, problem=f"does not answer within {ANSWER_SECONDS:.0f} s")
    finally:
        await store.close()
