"""How the link sets of a store differ from the exact links."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from headrace_demo.current_embeddings import read_embeddings
from headrace_expected.links import Embeddings, broken_links
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
    sets = [links async for links in stored]
    comparison = LinkComparison(
        products=sum(not links.deleted for links in sets),
        links=sum(len(links.links) for links in sets),
        tombstones=sum(links.deleted for links in sets),
    )
    for finding in broken_links(sets, products, keywords, k=k, min_score=min_score):
        comparison.add_difference(finding.id, finding.detail)
    return comparison
