"""One keyword gets a new meaning, and its links change."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from headrace_cli.errors import CommandError
from headrace_demo.catalogue.events import Change, Event
from headrace_demo.catalogue.newest_changes import newest_changes
from headrace_schemas.links import ProductLinks
from headrace_worker.store import LinkedProduct, LinkStore

LOCALE = "en"
"""The language of the default model."""
MOST_PRODUCTS = 10_000
POLL_SECONDS = 0.02
READABLE_WITHIN = 60.0


@dataclass(frozen=True, slots=True)
class Plan:
    """The newest records of a keyword and of a product that it is not linked to; it gets the product's title."""

    keyword: dict[str, Any]
    product: dict[str, Any]

    @property
    def keyword_id(self) -> str:
        return str(self.keyword["keyword_id"])

    @property
    def product_id(self) -> str:
        return str(self.product["product_id"])

    def change(self) -> Change:
        """The keyword's next version, with the product's title as its text."""
        now = datetime.now(UTC).isoformat()
        changed = {"version": self.keyword["version"] + 1, "text": self.product["title"], "occurred_at": now}
        return Change("keyword", "reword", self.keyword | changed)


@dataclass(frozen=True, slots=True)
class LinkState:
    """The links before or after the change: the product's, and the keyword's products, best first."""

    links: ProductLinks
    products: Sequence[LinkedProduct]


@dataclass(frozen=True, slots=True)
class KeywordChange:
    """A keyword that got a product's title, as (old, new) `text`.

    `seconds`: for each store, from publishing to the product's new links being readable there; `relinked`: how many
    products were linked again because of it.
    """

    keyword_id: str
    text: tuple[str, str]
    before: LinkState
    after: LinkState
    seconds: Mapping[str, float]
    relinked: int


async def plan_change(published: Sequence[Event], store: LinkStore) -> Plan | None:
    """The first product with links, and the first keyword that is linked to other products only.

    None if there is no such pair.
    """
    await store.refresh()
    newest = [entity.record for entity in newest_changes(published).values() if not entity.deleted]
    of_language = [record for record in newest if str(record.get("locale", "")).startswith(LOCALE)]
    keywords = [record for record in of_language if "keyword_id" in record]
    for product in (record for record in of_language if "product_id" in record):
        links = (await store.links_of([product["product_id"]])).get(product["product_id"])
        linked = {link.keyword_id for link in links.links} if links else set()
        for keyword in keywords if linked else []:
            if keyword["keyword_id"] not in linked and await store.products_of(keyword["keyword_id"], 1):
                return Plan(keyword, product)
    return None


async def link_state(plan: Plan, store: LinkStore) -> LinkState:
    """The links of the plan's product and keyword now."""
    await store.refresh()
    links = await store.links_of([plan.product_id])
    return LinkState(links[plan.product_id], await store.products_of(plan.keyword_id, MOST_PRODUCTS))


async def until_readable(plan: Plan, stores: Mapping[str, LinkStore]) -> dict[str, float]:
    """For each store the seconds from the call until the product is linked to the keyword with its new text.

    Raises CommandError after `READABLE_WITHIN` seconds.
    """
    waits = (_seconds_until_linked(plan, name, store) for name, store in stores.items())
    return dict(zip(stores, await asyncio.gather(*waits), strict=True))


async def _seconds_until_linked(plan: Plan, name: str, store: LinkStore) -> float:
    started = time.monotonic()
    while time.monotonic() - started < READABLE_WITHIN:
        links = (await store.links_of([plan.product_id]))[plan.product_id]
        if any((link.keyword_id, link.text) == (plan.keyword_id, plan.product["title"]) for link in links.links):
            return time.monotonic() - started
        await asyncio.sleep(POLL_SECONDS)
    raise CommandError(f"{name}: {plan.product_id} was not linked to {plan.keyword_id} in time")
