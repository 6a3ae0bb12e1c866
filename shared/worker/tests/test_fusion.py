"""The fusion of rankings: hand-computed examples, and what holds for all rankings."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace_worker.fusion import Fusion, fused
from headrace_worker.store import Hit

EVEN = {"dense": 0.5, "lexical": 0.5}


def ranking(**scores: float) -> list[Hit]:
    return [Hit(id, score, {"title": id}) for id, score in scores.items()]


def places(hits: list[Hit]) -> list[tuple[str, float]]:
    return [(hit.id, round(hit.score, 6)) for hit in hits]


def test_weighted_scores_are_scaled_within_each_ranking() -> None:
    rankings = {"dense": ranking(a=0.9, b=0.8, c=0.7), "lexical": ranking(b=30.0, d=10.0)}
    assert places(fused(rankings, "weighted", {"dense": 0.6, "lexical": 0.4})) == [
        ("b", 0.7), ("a", 0.6), ("c", 0.0), ("d", 0.0),
    ]  # fmt: skip


def test_reciprocal_ranks_depend_on_places_alone() -> None:
    rankings = {"dense": ranking(a=0.9, b=0.8), "lexical": ranking(b=30.0)}
    assert places(fused(rankings, "reciprocal", EVEN)) == [
        ("b", round(0.5 / 62 + 0.5 / 61, 6)), ("a", round(0.5 / 61, 6)),
    ]  # fmt: skip


@pytest.mark.parametrize("fusion", ["weighted", "reciprocal"])
def test_one_hit_and_no_hit(fusion: Fusion) -> None:
    assert fused({"dense": [], "lexical": []}, fusion, EVEN) == []
    assert [hit.id for hit in fused({"dense": ranking(a=0.1), "lexical": []}, fusion, EVEN)] == ["a"]


@given(
    st.lists(st.permutations(["a", "b", "c", "d", "e"]), min_size=2, max_size=2),
    st.sampled_from(["weighted", "reciprocal"]),
)
def test_every_entity_is_there_once_and_one_that_is_better_in_both_is_better(
    orders: list[list[str]], fusion: Fusion
) -> None:
    dense, lexical = ([Hit(id, 10.0 - place, {}) for place, id in enumerate(order)] for order in orders)
    order = [hit.id for hit in fused({"dense": dense, "lexical": lexical}, fusion, EVEN)]
    assert sorted(order) == ["a", "b", "c", "d", "e"]
    for one in order:
        for other in order:
            if all(ids.index(one) < ids.index(other) for ids in orders):
                assert order.index(one) < order.index(other)
