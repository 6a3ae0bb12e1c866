"""The history of delays keeps what was observed while the console ran, for a bounded time."""

import math

from headrace_clients.worker_metrics import DELAY, Series, WorkerMetrics, quantile
from headrace_console.monitor.delay_history import KEPT_STEPS, STEP_SECONDS, DelayHistory

PRODUCT: Series = (DELAY, frozenset({("kind", "product")}))
KEY = ("qdrant", PRODUCT)


def metrics(fast: int, slow: int = 0) -> WorkerMetrics:
    """So many observations within one second, and so many within ten."""
    return WorkerMetrics({PRODUCT: {1.0: fast, 10.0: fast + slow, math.inf: fast + slow}})


def counted(history: DelayHistory, now: float, seconds: float) -> float:
    return max(history.window(now, seconds, [KEY]).values(), default=0.0)


def test_what_was_observed_before_the_first_reading_does_not_count() -> None:
    history = DelayHistory()
    history.put(0, "qdrant", {"a": metrics(1000)})
    assert counted(history, 0, 300) == 0
    history.put(5, "qdrant", {"a": metrics(1003, 1), "b": metrics(500)})
    history.put(10, "qdrant", {"a": metrics(1003, 1), "b": metrics(502)})
    assert counted(history, 10, 300) == 6
    assert history.observed() == [KEY]


def test_after_a_restart_at_the_same_address_the_new_observations_count() -> None:
    history = DelayHistory()
    history.put(0, "qdrant", {"a": metrics(1000)})
    history.put(5, "qdrant", {"a": metrics(2)})
    assert counted(history, 5, 300) == 2


def test_a_series_that_begins_later_counts_from_its_first_observation() -> None:
    history = DelayHistory()
    history.put(0, "qdrant", {"a": WorkerMetrics()})
    history.put(5, "qdrant", {"a": metrics(3)})
    assert counted(history, 5, 300) == 3


def test_a_window_ends_and_the_columns_are_the_oldest_first() -> None:
    history = DelayHistory()
    history.put(0, "qdrant", {"a": metrics(0)})
    history.put(60, "qdrant", {"a": metrics(10)})
    history.put(360, "qdrant", {"a": metrics(10, 10)})
    assert counted(history, 360, 300) == 10
    assert counted(history, 360, 3600) == 20
    columns = history.series(360, columns=2, steps=5, wanted=[KEY])
    assert [quantile(column, 0.5) for column in columns] == [0.5, 5.5]
    assert counted(history, 10_000, 300) == 0


def test_it_keeps_a_bounded_number_of_steps() -> None:
    history = DelayHistory()
    history.put(0, "qdrant", {"a": metrics(0)})
    for step in range(1, 2 * KEPT_STEPS):
        history.put(step * STEP_SECONDS, "qdrant", {"a": metrics(step)})
    end = 2 * KEPT_STEPS * STEP_SECONDS
    assert counted(history, end, end) == KEPT_STEPS
