"""The comparison accepts each correct link set, and finds each way in which one can be wrong."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from headrace_expected.differences import Difference
from headrace_expected.links import TIE, Embeddings, broken_links
from headrace_schemas.links import Link, ProductLinks

K = 2
SCORES = {"a": 0.9, "b": 0.6, "c": 0.6 - TIE / 2, "d": 0.3}
"""The cosines of the keywords with the one product."""


def embeddings(vectors: dict[str, list[float]], deleted: tuple[str, ...] = ()) -> Embeddings:
    matrix = np.array(list(vectors.values()), np.float32).reshape(len(vectors), 2)
    return Embeddings(list(vectors), [f"text of {id}" for id in vectors], matrix, frozenset(deleted))


PRODUCTS = embeddings({"p": [1.0, 0.0]}, deleted=("gone",))
KEYWORDS = embeddings({id: [score, (1 - score * score) ** 0.5] for id, score in SCORES.items()}, deleted=("k-gone",))


def link_set(*keyword_ids: str, **others: Any) -> ProductLinks:
    links = tuple(
        Link(keyword_id=id, text=f"text of {id}", score=SCORES.get(id, 0.5), rank=rank)
        for rank, id in enumerate(keyword_ids, 1)
    )
    fields: dict[str, Any] = {"product_id": "p", "version": 2, "deleted": False, "title": "text of p", "links": links}
    return ProductLinks.model_construct(**fields | others)


def broken(*stored: ProductLinks, k: int = K, min_score: float = -1.0) -> list[str]:
    findings = list(broken_links(stored, PRODUCTS, KEYWORDS, k=k, min_score=min_score))
    assert all(finding.difference == Difference.BROKEN_LINKS for finding in findings)
    return [finding.detail for finding in findings]


@pytest.mark.parametrize("second", ["b", "c"])
def test_the_best_k_are_correct_and_either_of_two_ties_may_be_a_link(second: str) -> None:
    assert broken(link_set("a", second)) == []


def test_a_set_is_short_if_few_keywords_reach_the_least_score() -> None:
    assert broken(link_set("a", "b", "c", "d"), k=5) == []
    assert broken(link_set("a"), k=5, min_score=0.7) == []
    assert broken(link_set(), k=5, min_score=0.95) == []


@pytest.mark.parametrize("stored", [("a",), ("a", "b"), ("a", "b", "c")])
def test_a_keyword_near_the_least_score_may_be_a_link_or_not(stored: tuple[str, ...]) -> None:
    assert broken(link_set(*stored), k=3, min_score=0.6) == []


def test_a_deleted_product_has_a_tombstone_or_nothing() -> None:
    tombstone = link_set(product_id="gone", deleted=True, title=None)
    assert broken(link_set("a", "b"), tombstone) == []


def with_link(change: Callable[[Link], dict[str, Any]]) -> ProductLinks:
    """A link set that is correct except for its second link."""
    first, second = link_set("a", "b").links
    return link_set(links=(first, second.model_copy(update=change(second))))


@pytest.mark.parametrize(
    ("stored", "what"),
    [
        ([], "has no links and should"),
        ([link_set("a", "d")], "is linked to d"),
        ([link_set("b", "c")], "is not linked to a"),
        ([link_set("a")], "has 1 links"),
        ([link_set("a", "b", "c")], "has 3 links"),
        ([link_set("b", "a")], "out of order"),
        ([link_set("a", "a")], "twice"),
        ([link_set("a", "k-gone")], "is linked to k-gone, deleted"),
        ([link_set("a", "b", title="old")], "has the title"),
        ([link_set(deleted=True, title=None)], "has a tombstone and is live"),
        ([link_set("a", "b"), link_set("a", product_id="gone")], "is deleted"),
        ([link_set("a", "b"), link_set(product_id="other", deleted=True)], "never published"),
        ([link_set("a", "b"), link_set("a", "b")], "is stored twice"),
        ([with_link(lambda link: {"score": link.score + 3 * TIE})], "the cosine is"),
        ([with_link(lambda link: {"text": "old"})], "which is now"),
        ([with_link(lambda link: {"rank": 3})], "gap"),
    ],
)
def test_every_wrong_link_set_is_found(stored: list[ProductLinks], what: str) -> None:
    (detail,) = broken(*stored)
    assert what in detail
