"""What `headrace status` measures: a worker that does not answer is not known, and not at zero."""

import math

from headrace_cli.worker_measures import delays_of, lag_seconds, spoken_delay
from headrace_cli.worker_states import WorkerState
from headrace_clients.worker_metrics import DELAY, GROUP_LAG_SECONDS, LAG_SECONDS, Series, WorkerMetrics

TOPICS = frozenset({"t"})


def series(name: str, **labels: str) -> Series:
    return name, frozenset(labels.items())


def copy(age: float, topic: str = "t") -> WorkerMetrics:
    delays = {series(DELAY, kind=kind): {1.0: 1.0, math.inf: 2.0} for kind in ("product", "keyword")}
    return WorkerMetrics(delays, {series(LAG_SECONDS, topic=topic, partition="0"): age})


def state(copies: int, *metrics: WorkerMetrics) -> WorkerState:
    return WorkerState("qdrant", "p.qdrant", copies, len(metrics), (), (), 0, (), metrics)


def test_the_lag_is_the_greatest_age_of_the_groups_topics_if_every_copy_answers() -> None:
    assert lag_seconds(state(2, copy(3.0), copy(42.0)), TOPICS, []) == 42.0
    assert lag_seconds(state(1, copy(3.0, "other")), TOPICS, []) is None


def test_the_lag_of_a_group_with_a_silent_copy_is_what_the_canary_sees_or_not_known() -> None:
    gauges = {series(GROUP_LAG_SECONDS, group="p.qdrant", topic="t"): 75.0,
              series(GROUP_LAG_SECONDS, group="p.embed", topic="t"): 99.0}  # fmt: skip
    for found in (state(0), state(1), state(2, copy(0.0))):
        assert lag_seconds(found, TOPICS, []) is None
        assert lag_seconds(found, TOPICS, [WorkerMetrics({}, gauges)]) == 75.0


def test_the_delays_of_all_kinds_and_copies_are_one() -> None:
    found = delays_of(state(2, copy(0.0), copy(0.0)))
    assert found == {1.0: 4.0, math.inf: 8.0}
    assert spoken_delay(found) == "1.00 / inf"
    assert spoken_delay({}) == "– / –"
