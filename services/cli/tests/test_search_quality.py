"""The measures of a ranking, on examples computed by hand."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace_cli.search_quality import ndcg, recall


@pytest.mark.parametrize(
    ("ranking", "relevant", "expected"),
    [
        (["a"], {"a"}, 1.0),
        (["b", "a"], {"a"}, 0.6309),
        (["a", "b", "c"], {"a", "c"}, 0.9197),
        (["b", "c"], {"a"}, 0.0),
        ([], {"a"}, 0.0),
        (["c", "b", "x", "a"], {"a", "b", "c", "d"}, 0.8048),
    ],
)
def test_ndcg(ranking: list[str], relevant: set[str], expected: float) -> None:
    assert ndcg(ranking, relevant, 10) == pytest.approx(expected, abs=1e-4)


def test_only_the_first_results_count() -> None:
    assert (ndcg(["b", "a"], {"a"}, 1), recall(["b", "a"], {"a"}, 1)) == (0.0, 0.0)
    assert (recall(["a", "b"], {"a", "b", "c"}, 2), recall(["a", "b"], {"a", "c"}, 2)) == (1.0, 0.5)


@given(st.permutations(list("abcdefgh")), st.sets(st.sampled_from("abcdefgh"), min_size=1), st.integers(1, 10))
def test_a_ranking_with_every_right_answer_first_has_the_best_value(
    ranking: list[str], relevant: set[str], limit: int
) -> None:
    best = sorted(ranking, key=lambda id: id not in relevant)
    assert ndcg(best, relevant, limit) == pytest.approx(1)
    assert recall(best, relevant, limit) == 1
    assert 0 <= ndcg(ranking, relevant, limit) <= 1
