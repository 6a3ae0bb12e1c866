"""What a store must hold of each product's links: the exact top K of the live keywords by cosine.

Scores that differ by `TIE` or less count as equal: either of two such keywords may be the first, or the last link.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from headrace_expected.differences import Difference, Finding
from headrace_schemas.canary import CANARY_ID
from headrace_schemas.embedded import EmbeddedChange, EmbeddedProduct
from headrace_schemas.links import ProductLinks

TIE = 1e-5
ROWS_AT_ONCE = 1000

Vectors = NDArray[np.float32]


class Embeddings(NamedTuple):
    """The live entities of one kind: `ids` and `texts` (of a product its title) by row of `vectors`, (n, d) float32,
    L2-normalised. `deleted`: the ids of the deleted entities.
    """

    ids: list[str]
    texts: list[str]
    vectors: Vectors
    deleted: frozenset[str]


class ExactLinks(NamedTuple):
    """The exact answer for one product. `scores`: (m,) cosines with every keyword; `floor`: the least score of a link.

    `least`, `most`: the number of links. They differ only where a score is about `min_score`.
    """

    product_id: str
    title: str
    scores: Vectors
    floor: float
    least: int
    most: int


def embeddings(changes: Iterable[EmbeddedChange]) -> Embeddings:
    """The newest vector of every entity but the canary. `changes`: all of one kind and model that `embed` published."""
    newest: dict[str, EmbeddedChange] = {}
    for change in changes:
        if change.id != CANARY_ID and (change.id not in newest or newest[change.id].version < change.version):
            newest[change.id] = change
    live = [(change, change.embedding) for change in newest.values() if change.embedding is not None]
    vectors = [np.frombuffer(embedding.vector, "<f4") for _, embedding in live]
    return Embeddings(
        ids=[change.id for change, _ in live],
        texts=[(change.title if isinstance(change, EmbeddedProduct) else change.text) or "" for change, _ in live],
        vectors=np.stack(vectors) if vectors else np.zeros((0, 0), np.float32),
        deleted=frozenset(change.id for change in newest.values() if change.deleted),
    )


def exact_links(products: Embeddings, keywords: Embeddings, k: int, min_score: float) -> Iterator[ExactLinks]:
    """For each live product its `k` best keywords, of those with a score of `min_score` or more."""
    for start in range(0, len(products.ids), ROWS_AT_ONCE):
        rows = slice(start, start + ROWS_AT_ONCE)
        vectors = products.vectors[rows]
        scores = vectors @ keywords.vectors.T if keywords.ids else np.zeros((len(vectors), 0), np.float32)
        for id, title, row_scores in zip(products.ids[rows], products.texts[rows], scores, strict=True):
            best = np.sort(row_scores)[::-1][:k]
            floor = max(float(best[-1]), min_score) if len(best) == k else min_score
            least, most = (int(np.sum(best >= min_score + slack)) for slack in (TIE, -TIE))
            yield ExactLinks(id, title, row_scores, floor, least, most)


def broken_links(
    stored: Iterable[ProductLinks], products: Embeddings, keywords: Embeddings, *, k: int, min_score: float
) -> Iterator[Finding]:
    """Compares all link sets of a store with the exact links, both ways."""
    sets: dict[str, ProductLinks] = {}
    for links in stored:
        if links.product_id in sets:
            yield _broken(links.product_id, "is stored twice")
        sets[links.product_id] = links
    row_of = {id: row for row, id in enumerate(keywords.ids)}
    for exact in exact_links(products, keywords, k, min_score):
        found = sets.pop(exact.product_id, None)
        if what := "has no links and should" if found is None else _difference(found, exact, keywords, row_of):
            yield _broken(exact.product_id, what)
    yield from _left(sets.values(), products.deleted)


def _left(sets: Iterable[ProductLinks], deleted: Collection[str]) -> Iterator[Finding]:
    """Of the link sets of products that are not live. A deleted product has a tombstone, or nothing."""
    for links in sets:
        if not links.deleted:
            yield _broken(links.product_id, "has links and is deleted, or was never published")
        elif links.product_id not in deleted:
            yield _broken(links.product_id, "has a tombstone and was never published")


def _broken(product_id: str, what: str) -> Finding:
    return Finding("product", product_id, Difference.BROKEN_LINKS, what)


def _difference(stored: ProductLinks, exact: ExactLinks, keywords: Embeddings, row_of: dict[str, int]) -> str:
    """How a link set differs from the exact links, in words; empty if it does not."""
    if stored.deleted:
        return "has a tombstone and is live"
    if stored.title != exact.title:
        return f"has the title {stored.title!r}, the newest is {exact.title!r}"
    rows = [row_of.get(link.keyword_id) for link in stored.links]
    if deleted := [link.keyword_id for link, row in zip(stored.links, rows, strict=True) if row is None]:
        return f"is linked to {', '.join(deleted)}, deleted or never published"
    linked = [row for row in rows if row is not None]
    if len(set(linked)) < len(linked) or [link.rank for link in stored.links] != list(range(1, len(linked) + 1)):
        return "has a link twice, or ranks with a gap"
    return _wrong_links(stored, exact, keywords, linked)


def _wrong_links(stored: ProductLinks, exact: ExactLinks, keywords: Embeddings, linked: Sequence[int]) -> str:
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
    return ""
