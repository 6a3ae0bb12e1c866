"""One keyword takes another meaning, and links follow."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from headrace_cli.errors import CommandError
from headrace_demo.catalogue.events import Change, Event
from headrace_demo.catalogue.fold import fold
from headrace_schemas.links import ProductLinks
from headrace_worker.store import LinkedProduct, LinkStore

LOCALE = "en"
"""The default model's language."""
SHOWN = 3
MOST_PRODUCTS = 10_000
LOOK_SECONDS = 0.02
READABLE_WITHIN = 60.0


@dataclass(frozen=True, slots=True)
class Side:
    """How the links stand before or after: the product's, and the keyword's products by rank."""

    links: ProductLinks
    products: Sequence[LinkedProduct]


@dataclass(frozen=True, slots=True)
class Move:
    """A keyword that became a product's title. `seconds`: for each store, from publishing to the product's new links
    being readable there; `relinked`: how many products were linked again for it.
    """

    keyword_id: str
    text: tuple[str, str]
    before: Side
    after: Side
    seconds: Mapping[str, float]
    relinked: int


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to move: the newest records of a keyword and of a product that it is not linked to."""

    keyword: dict[str, Any]
    product: dict[str, Any]

    @property
    def keyword_id(self) -> str:
        return str(self.keyword["keyword_id"])

    @property
    def product_id(self) -> str:
        return str(self.product["product_id"])

    def change(self) -> Change:
        """The keyword's next version, with the product's title for its text."""
        now = datetime.now(UTC).isoformat()
        changed = {"version": self.keyword["version"] + 1, "text": self.product["title"], "occurred_at": now}
        return Change("keyword", "reword", self.keyword | changed)


@dataclass(frozen=True, slots=True)
class Moving:
    """A keyword whose new links can be read, though not all that follows is done yet."""

    plan: Plan
    before: Side
    seconds: Mapping[str, float]

    async def ended(self, store: LinkStore, relinked: int) -> Move:
        """How it ended, once everything is done."""
        text = (self.plan.keyword["text"], self.plan.product["title"])
        return Move(self.plan.keyword_id, text, self.before, await side(self.plan, store), self.seconds, relinked)


async def plan(published: Sequence[Event], store: LinkStore) -> Plan | None:
    """The first product with links, and the first keyword that is linked to others and not to it; None without such."""
    await store.refresh()
    newest = [entity.record for entity in fold(published).values() if not entity.deleted]
    spoken = [record for record in newest if str(record.get("locale", "")).startswith(LOCALE)]
    keywords = [record for record in spoken if "keyword_id" in record]
    for product in (record for record in spoken if "product_id" in record):
        held = (await store.links_of([product["product_id"]])).get(product["product_id"])
        linked = {link.keyword_id for link in held.links} if held else set()
        for keyword in keywords if linked else []:
            if keyword["keyword_id"] not in linked and await store.products_of(keyword["keyword_id"], 1):
                return Plan(keyword, product)
    return None


async def side(planned: Plan, store: LinkStore) -> Side:
    """How the links stand now."""
    await store.refresh()
    held = await store.links_of([planned.product_id])
    return Side(held[planned.product_id], await store.products_of(planned.keyword_id, MOST_PRODUCTS))


async def until_readable(planned: Plan, stores: Mapping[str, LinkStore]) -> dict[str, float]:
    """For each store the seconds from the call until the product is linked to the keyword as it is now.

    Raises CommandError if that takes too long.
    """
    waits = (_seconds_until_linked(planned, name, store) for name, store in stores.items())
    return dict(zip(stores, await asyncio.gather(*waits), strict=True))


async def _seconds_until_linked(planned: Plan, name: str, store: LinkStore) -> float:
    started = time.monotonic()
    while time.monotonic() - started < READABLE_WITHIN:
        held = (await store.links_of([planned.product_id]))[planned.product_id]
        if any((link.keyword_id, link.text) == (planned.keyword_id, planned.product["title"]) for link in held.links):
            return time.monotonic() - started
        await asyncio.sleep(LOOK_SECONDS)
    raise CommandError(f"{name}: {planned.product_id} was not linked to {planned.keyword_id} in time")
