"""How the link sets of a store differ from the exact links."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from headrace_demo.exact_links import TIE, Embeddings, ExactLinks, exact_links, read_embeddings
from headrace_schemas.links import ProductLinks
from headrace_worker.settings import CommonSettings
from headrace_worker.store import LinkStore
from headrace_worker.worker import load_worker

DIFFERENCES_KEPT = 20


@dataclass(slots=True)
class LinkComparison:
    """The link sets that a store contains, and how they differ from the exact links.

    `different`: the number of differences; `differences`: the first of them, as (product id, what differs).
    """

    products: int = 0
    links: int = 0
    tombstones: int = 0
    different: int = 0
    differences: list[tuple[str, str]] = field(default_factory=list)

    def add_difference(self, product_id: str, what: str) -> None:
        """Counts a difference, and keeps it if it is one of the first."""
        self.different += 1
        if len(self.differences) < DIFFERENCES_KEPT:
            self.differences.append((product_id, what))


async def compare_link_stores(settings: CommonSettings, stores: Mapping[str, LinkStore]) -> dict[str, LinkComparison]:
    """Compares the link sets of every store with the exact links of the current vectors."""
    link: Any = load_worker("link").settings()
    products, keywords = await read_embeddings(settings, "product"), await read_embeddings(settings, "keyword")
    found = {}
    for name, store in stores.items():
        await store.refresh()
        found[name] = await compare_links(
            store.scan_links(), products, keywords, k=link.link.k, min_score=link.link.min_score
        )
    return found


async def compare_links(
    stored: AsyncIterator[ProductLinks], products: Embeddings, keywords: Embeddings, *, k: int, min_score: float
) -> LinkComparison:
    """Compares all link sets of a store (`LinkStore.scan_links`) with the exact links."""
    comparison = LinkComparison()
    sets: dict[str, ProductLinks] = {}
    async for links in stored:
        if links.product_id in sets:
            comparison.add_difference(links.product_id, "is stored twice")
        sets[links.product_id] = links
    comparison.tombstones = sum(links.deleted for links in sets.values())
    row_of = {id: row for row, id in enumerate(keywords.ids)}
    for exact in exact_links(products, keywords, k, min_score):
        found = sets.pop(exact.product_id, None)
        what = "has no links and should" if found is None else _difference(found, exact, keywords, row_of)
        if what is not None:
            comparison.add_difference(exact.product_id, what)
        if found is not None and not found.deleted:
            comparison.products += 1
            comparison.links += len(found.links)
    for product_id, left in sets.items():
        if not left.deleted:
            comparison.add_difference(product_id, "has links and is deleted, or was never published")
        elif product_id not in products.deleted:
            comparison.add_difference(product_id, "has a tombstone and was never published")
    return comparison


def _difference(stored: ProductLinks, exact: ExactLinks, keywords: Embeddings, row_of: dict[str, int]) -> str | None:
    """How a link set differs from the exact links, in words; None if it does not."""
    if stored.deleted:
        return "has a tombstone and is live"
    if stored.title != exact.title:
        return f"has the title {stored.title!r}, the newest is {exact.title!r}"
    rows = [row_of.get(link.keyword_id) for link in stored.links]
    deleted = [link.keyword_id for link, row in zip(stored.links, rows, strict=True) if row is None]
    if deleted:
        return f"is linked to {', '.join(deleted)}, deleted or never published"
    linked = [row for row in rows if row is not None]
    if len(set(linked)) < len(linked) or [link.rank for link in stored.links] != list(range(1, len(linked) + 1)):
        return "has a link twice, or ranks with a gap"
    return _wrong_links(stored, exact, keywords, linked)


def _wrong_links(stored: ProductLinks, exact: ExactLinks, keywords: Embeddings, linked: Sequence[int]) -> str | None:
    scores = exact.scores[linked]
    for link, row, score in zip(stored.links, linked, scores, strict=True):
        if link.text != keywords.texts[row]:
            return f"is linked to {link.keyword_id} as {link.text!r}, which is now {keywords.texts[row]!r}"
        if abs(link.score - score) > TIE:
            return f"is linked to {link.keyword_id} with {link.score:.6f}, the cosine is {score:.6f}"
        if score < exact.floor - TIE:
            return f"is linked to {link.keyword_id} ({score:.6f}), which is below {exact.floor:.6f}"
    if np.any(np.diff(scores) > TIE):
        return "has links out of order"
    missing = exact.scores > exact.floor + TIE
    missing[linked] = False
    if missing.any():
        row = int(np.argmax(np.where(missing, exact.scores, -2)))
        return f"is not linked to {keywords.ids[row]} ({exact.scores[row]:.6f}, floor {exact.floor:.6f})"
    if not exact.least <= len(linked) <= exact.most:
        return f"has {len(linked)} links and should have {exact.most}"
    return None
