"""What each store contains for one id. All are asked at once; one that does not answer does not block the others."""

import asyncio
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import structlog

from headrace_letters.installed_stores import InstalledStores
from headrace_schemas.fields import RecordKind
from headrace_schemas.links import Link
from headrace_worker.stage import Unavailable
from headrace_worker.store import LinkedProduct

log = structlog.get_logger(__name__)
A = TypeVar("A")

ANSWER_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class StoreAnswer:
    """One store's answer. `version`: None if the store does not contain the id. `problem`: why there is no answer.

    `searchable`: the version of an entity that a search finds now; 0 if it finds none, None if the store cannot say.
    """

    store: str
    version: int | None = None
    deleted: bool = False
    fields: dict[str, Any] = field(default_factory=dict)
    content_hash: str | None = None
    model: str | None = None
    links: Sequence[Link] = ()
    problem: str = ""
    searchable: int | None = None


async def entity_in_stores(stores: InstalledStores, kind: RecordKind, id: str) -> list[StoreAnswer]:
    """One answer for each store with this kind: entities, or link sets for the kinds of links."""
    if kind == "product" or kind == "keyword":
        return list(await asyncio.gather(*(_entity(stores, name, kind, id) for name in stores.entity_stores)))
    if kind in ("product_links", "relink"):
        return await link_set_in_stores(stores, id)
    return []


async def link_set_in_stores(stores: InstalledStores, product_id: str) -> list[StoreAnswer]:
    """The product's link set in each store with link sets."""
    return list(await asyncio.gather(*(_links(stores, name, product_id) for name in stores.link_stores)))


async def _entity(stores: InstalledStores, name: str, kind: Any, id: str) -> StoreAnswer:
    return await _answered(name, _stored_entity(stores, name, kind, id))


async def _stored_entity(stores: InstalledStores, name: str, kind: Any, id: str) -> StoreAnswer:
    entities, found = await asyncio.gather(stores.entities(name, kind, [id]), stores.searchable(name, kind, [id]))
    stored = entities.get(id)
    searchable = None if found is None else found.get(id, 0)
    if stored is None:
        return StoreAnswer(name, searchable=searchable)
    return StoreAnswer(
        name, stored.version, stored.deleted, stored.fields, stored.content_hash, stored.model, searchable=searchable
    )


async def _links(stores: InstalledStores, name: str, product_id: str) -> StoreAnswer:
    return await _answered(name, _stored_links(stores, name, product_id))


async def _stored_links(stores: InstalledStores, name: str, product_id: str) -> StoreAnswer:
    links = (await stores.link_sets(name, [product_id])).get(product_id)
    if links is None:
        return StoreAnswer(name)
    return StoreAnswer(name, links.version, links.deleted, {"title": links.title}, links=links.links)


async def _answered(name: str, asking: Awaitable[StoreAnswer]) -> StoreAnswer:
    answer = await _within(name, asking)
    return StoreAnswer(name, problem=answer) if isinstance(answer, str) else answer


async def _within(name: str, asking: Awaitable[A]) -> A | str:
    """The answer, or why there is none. One store that fails in any way leaves the page to the others."""
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            return await asking
    except Unavailable as error:
        return f"does not answer: {error.detail}"
    except TimeoutError:
        return f"does not answer within {ANSWER_SECONDS:.0f} s"
    except Exception as error:
        log.error("store_not_read", store=name, exc_info=error)
        return f"cannot be read ({type(error).__name__}); the log has the error"


@dataclass(frozen=True, slots=True)
class LinkedProducts:
    """The products that one store links to a keyword: a few, best first. `count`: of all; None if it cannot say."""

    store: str
    products: Sequence[LinkedProduct] = ()
    problem: str = ""
    count: int | None = None


async def linked_products(stores: InstalledStores, keyword_id: str, limit: int = 20) -> list[LinkedProducts]:
    """The answer of each store with link sets."""
    return list(await asyncio.gather(*(_products(stores, name, keyword_id, limit) for name in stores.link_stores)))


async def _products(stores: InstalledStores, name: str, keyword_id: str, limit: int) -> LinkedProducts:
    asking = asyncio.gather(
        stores.products_of(name, keyword_id, limit) if limit else _none(), stores.product_count(name, keyword_id)
    )
    answer = await _within(name, asking)
    if isinstance(answer, str):
        return LinkedProducts(name, problem=answer)
    products, count = answer
    return LinkedProducts(name, products, count=count)


async def _none() -> list[LinkedProduct]:
    return []
