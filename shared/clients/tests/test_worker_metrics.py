"""Quantiles of histograms, and what is read of a worker's metrics."""

import math

import pytest

from headrace_clients.worker_metrics import DELAY, LAG_SECONDS, added, quantile, read_metrics, since

INF = math.inf
BODY = b"""
# TYPE headrace_publication_delay_seconds histogram
headrace_publication_delay_seconds_bucket{kind="product",le="0.5",worker="qdrant"} 2.0
headrace_publication_delay_seconds_bucket{kind="product",le="+Inf",worker="qdrant"} 3.0
headrace_publication_delay_seconds_count{kind="product",worker="qdrant"} 3.0
headrace_publication_delay_seconds_sum{kind="product",worker="qdrant"} 9.0
# TYPE headrace_lag_seconds gauge
headrace_lag_seconds{partition="3",topic="t",worker="qdrant"} 42.5
# TYPE headrace_records_total counter
headrace_records_total{kind="product",outcome="applied",worker="qdrant"} 7.0
headrace_records_total{kind="keyword",outcome="applied",worker="qdrant"} 2.0
# TYPE headrace_other gauge
headrace_other{worker="qdrant"} 1.0
"""


def test_the_delays_the_lag_and_the_records_of_a_worker_are_read() -> None:
    found = read_metrics(BODY)
    product = frozenset({("kind", "product")})
    assert found.histograms == {(DELAY, product): {0.5: 2.0, INF: 3.0}}
    assert found.values(LAG_SECONDS) == {frozenset({("topic", "t"), ("partition", "3")}): 42.5}
    assert found.settled == {"applied": 9}


@pytest.mark.parametrize(
    ("buckets", "share", "seconds"),
    [
        ({}, 0.5, None),
        ({1.0: 0.0, INF: 0.0}, 0.5, None),
        ({1.0: 10.0, 2.0: 10.0, INF: 10.0}, 0.5, 0.5),
        ({1.0: 0.0, 2.0: 10.0, INF: 10.0}, 0.5, 1.5),
        ({1.0: 50.0, 2.0: 100.0, INF: 100.0}, 0.99, 1.98),
        ({1.0: 98.0, INF: 100.0}, 0.99, INF),
        ({1.0: 98.0, INF: 100.0}, 0.5, 50 / 98),
    ],
)
def test_a_quantile_is_interpolated_in_its_bucket(
    buckets: dict[float, float], share: float, seconds: float | None
) -> None:
    found = quantile(buckets, share)
    assert found == (seconds if seconds is None else pytest.approx(seconds))


def test_the_histograms_of_several_copies_are_added() -> None:
    assert added([{1.0: 1.0, INF: 2.0}, {1.0: 3.0, INF: 3.0}]) == {1.0: 4.0, INF: 5.0}
    assert added([{1.0: 1.0, INF: 2.0}, {2.0: 1.0, INF: 1.0}, {}]) == {1.0: 1.0, 2.0: 2.0, INF: 3.0}
    assert added([]) == {}


def test_after_a_restart_the_observations_since_the_start_count() -> None:
    assert since({1.0: 5.0, INF: 6.0}, {1.0: 2.0, INF: 2.0}) == {1.0: 3.0, INF: 4.0}
    assert since({1.0: 1.0, INF: 1.0}, {1.0: 2.0, INF: 2.0}) == {1.0: 1.0, INF: 1.0}
    assert since({1.0: 1.0, INF: 1.0}, None) == {1.0: 1.0, INF: 1.0}
