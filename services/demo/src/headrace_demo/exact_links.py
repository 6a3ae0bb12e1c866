"""What the links of a catalogue have to be, worked out by brute force, and how what a store holds differs from that.

Scores compare within `TIE`: of two keywords that are so near in score either may come first, or be the last one in.
"""

from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from headrace_clients.topic_reader import open_topics
from headrace_schemas.embedded import EMBEDDED, EmbeddedChange, EmbeddedProduct
from headrace_schemas.fields import Kind
from headrace_schemas.links import ProductLinks
from headrace_worker.settings import CommonSettings

TIE = 1e-5
ROWS_AT_ONCE = 1000
DIFFERENCES_KEPT = 20

Vectors = NDArray[np.float32]


class Embeddings(NamedTuple):
    """The live entities of one kind: `ids` and `texts` (of a product its title) by row of `vectors`, (n, d) float32.

    `deleted`: the ids of those that are gone.
    """

    ids: list[str]
    texts: list[str]
    vectors: Vectors
    deleted: frozenset[str]


class Exact(NamedTuple):
    """One product's exact answer. `scores`: (m,) cosines with every keyword; `floor`: what a link's has to be at least.

    `least`, `most`: how many links there are, which only a score beside `min_score` leaves open.
    """

    product_id: str
    title: str
    scores: Vectors
    floor: float
    least: int
    most: int


@dataclass(slots=True)
class LinkComparison:
    """What a store holds, against brute force. `differences`: the first of them, as (product id, what differs)."""

    products: int = 0
    links: int = 0
    tombstones: int = 0
    different: int = 0
    differences: list[tuple[str, str]] = field(default_factory=list)

    def _differs(self, product_id: str, what: str) -> None:
        self.different += 1
        if len(self.differences) < DIFFERENCES_KEPT:
            self.differences.append((product_id, what))


async def read_embeddings(settings: CommonSettings, kind: Kind) -> Embeddings:
    """The newest vector of every entity of a kind, from the topic that `embed` writes."""
    newest: dict[str, EmbeddedChange] = {}
    async with open_topics(settings.kafka, [settings.topics.embedded(kind, settings.model)]) as reader:
        async for record in reader.until_now():
            change = EMBEDDED[kind].model_validate_json(record.value)
            if change.id not in newest or newest[change.id].version < change.version:
                newest[change.id] = change
    live = [(change, change.embedding) for change in newest.values() if change.embedding is not None]
    vectors = [np.frombuffer(embedding.vector, "<f4") for _, embedding in live]
    return Embeddings(
        ids=[change.id for change, _ in live],
        texts=[(change.title if isinstance(change, EmbeddedProduct) else change.text) or "" for change, _ in live],
        vectors=np.stack(vectors) if vectors else np.zeros((0, 0), np.float32),
        deleted=frozenset(change.id for change in newest.values() if change.deleted),
    )


def exact_links(products: Embeddings, keywords: Embeddings, k: int, min_score: float) -> Iterator[Exact]:
    """The answer for each live product: its `k` best keywords, of those that score `min_score` at least."""
    for start in range(0, len(products.ids), ROWS_AT_ONCE):
        rows = slice(start, start + ROWS_AT_ONCE)
        of_rows = products.vectors[rows]
        scores = of_rows @ keywords.vectors.T if keywords.ids else np.zeros((len(of_rows), 0), np.float32)
        for id, title, of_one in zip(products.ids[rows], products.texts[rows], scores, strict=True):
            best = np.sort(of_one)[::-1][:k]
            floor = max(float(best[-1]), min_score) if len(best) == k else min_score
            least, most = (int(np.sum(best >= min_score + slack)) for slack in (TIE, -TIE))
            yield Exact(id, title, of_one, floor, least, most)


async def compare_links(
    held: AsyncIterator[ProductLinks], products: Embeddings, keywords: Embeddings, *, k: int, min_score: float
) -> LinkComparison:
    """Compares all that a store holds (`LinkStore.scan_links`) with the answers."""
    comparison = LinkComparison()
    sets: dict[str, ProductLinks] = {}
    async for links in held:
        if links.product_id in sets:
            comparison._differs(links.product_id, "is held twice")
        sets[links.product_id] = links
    comparison.tombstones = sum(links.deleted for links in sets.values())
    row_of = {id: row for row, id in enumerate(keywords.ids)}
    for exact in exact_links(products, keywords, k, min_score):
        found = sets.pop(exact.product_id, None)
        what = "has no links and should" if found is None else _difference(found, exact, keywords, row_of)
        if what is not None:
            comparison._differs(exact.product_id, what)
        if found is not None and not found.deleted:
            comparison.products += 1
            comparison.links += len(found.links)
    for product_id, left in sets.items():
        if not left.deleted:
            comparison._differs(product_id, "has links and is deleted, or was never published")
        elif product_id not in products.deleted:
            comparison._differs(product_id, "has a tombstone and was never published")
    return comparison


def _difference(held: ProductLinks, exact: Exact, keywords: Embeddings, row_of: dict[str, int]) -> str | None:
    """What tells a link set from what it should be, in words; None if nothing does."""
    if held.deleted:
        return "has a tombstone and is live"
    if held.title != exact.title:
        return f"has the title {held.title!r}, the newest is {exact.title!r}"
    rows = [row_of.get(link.keyword_id) for link in held.links]
    gone = [link.keyword_id for link, row in zip(held.links, rows, strict=True) if row is None]
    if gone:
        return f"is linked to {', '.join(gone)}, deleted or never published"
    linked = [row for row in rows if row is not None]
    if len(set(linked)) < len(linked) or [link.rank for link in held.links] != list(range(1, len(linked) + 1)):
        return "has a link twice, or ranks with a gap"
    return _wrong_links(held, exact, keywords, linked)


def _wrong_links(held: ProductLinks, exact: Exact, keywords: Embeddings, linked: Sequence[int]) -> str | None:
    scores = exact.scores[linked]
    for link, row, score in zip(held.links, linked, scores, strict=True):
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
