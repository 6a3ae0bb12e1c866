"""The first page says what is late, and never that all is well when it is not known."""

import math
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from aiokafka import TopicPartition

from headrace_clients.group_lag import ConsumerGroup, GroupLag
from headrace_clients.worker_copies import Member
from headrace_clients.worker_metrics import (
    DELAY,
    GROUP_LAG_SECONDS,
    LAG_SECONDS,
    OBJECTIVE,
    SEARCHABLE,
    Series,
    WorkerMetrics,
)
from headrace_console.formats.charts import delay_columns
from headrace_console.freshness import NO_CANARY, NO_CHANGE, Freshness, freshness, partition_lags
from headrace_console.monitor.worker_health import WorkerHealth
from headrace_console.monitor.worker_monitor import CANARY, Watched, WorkerMonitor
from headrace_worker.settings import KafkaSettings

INF = math.inf
PLACE = TopicPartition("embedded", 3)
FOUND: Series = (SEARCHABLE, frozenset({("store", "qdrant"), ("kind", "product"), ("change", "upsert")}))
STORED: Series = (DELAY, frozenset({("kind", "product")}))
RUNS = GroupLag("Stable", 1, copies=(Member("host-a", "http://a"),))


def series(name: str, **labels: str) -> Series:
    return name, frozenset(labels.items())


def observed(seconds: float, number: int) -> dict[float, float]:
    return {1.0: number if seconds <= 1 else 0, 10.0: number, INF: number}


def canary(number: int, seconds: float = 0.5, **gauges: Any) -> WorkerHealth:
    read = WorkerMetrics({FOUND: observed(seconds, number)}, {series(OBJECTIVE): 5.0} | gauges.pop("gauges", {}))
    return WorkerHealth(True, copies={"http://c": WorkerHealth(True, metrics=read)})


def qdrant(number: int = 0, problems: Any = (), age: float | None = None) -> WorkerHealth:
    gauges = {} if age is None else {series(LAG_SECONDS, topic="embedded", partition="3"): age}
    read = WorkerMetrics({STORED: observed(0.5, number)}, gauges)
    return WorkerHealth(not problems, problems, copies={"http://a": WorkerHealth(True, metrics=read)})


def monitor(*readings: dict[str, WorkerHealth], lag: GroupLag = RUNS, canaries: GroupLag = RUNS) -> WorkerMonitor:
    """After these readings of the workers, 5 seconds apart."""
    groups = [ConsumerGroup("qdrant", "p.qdrant", frozenset()), ConsumerGroup(CANARY, "p.canary", frozenset())]
    made = WorkerMonitor(KafkaSettings(), groups, {}, [])
    made.watched[0].now, made.watched[1].now, made.read_at = lag, canaries, datetime.now(UTC)
    for place, health in enumerate(readings):
        made.health = health
        for name, one in health.items():
            made.history.put(5.0 * place, name, {address: copy.metrics for address, copy in one.copies.items()})
    return made


def view(made: WorkerMonitor) -> Freshness:
    return freshness(made, 10.0, ["qdrant"], [])


def behind(records: int) -> GroupLag:
    return GroupLag("Stable", 1, 0, {"embedded": records}, (), {}, RUNS.copies, {PLACE: records})


def test_all_is_well_only_if_the_canary_was_found_within_the_objective_and_nothing_is_late() -> None:
    found = view(monitor({"qdrant": qdrant(), CANARY: canary(0)}, {"qdrant": qdrant(4), CANARY: canary(100)}))
    (store,) = found.stores
    assert (found.state, found.objective, found.late) == ("within", 5.0, [])
    assert (store.searchable.number, store.searchable.p50) == (100, 0.5)
    assert store.applied.number == 4
    assert store.columns[-1] == pytest.approx(0.99)


def test_a_p99_above_the_objective_is_late() -> None:
    found = view(monitor({"qdrant": qdrant(), CANARY: canary(0)}, {"qdrant": qdrant(), CANARY: canary(100, 9)}))
    assert found.state == "late"
    assert "above the objective of 5.0 s" in found.stores[0].why


def test_without_a_canary_or_a_change_it_is_not_known() -> None:
    none = GroupLag("Dead", 0)
    found = view(monitor({"qdrant": qdrant()}, {"qdrant": qdrant(100)}, canaries=none))
    assert (found.state, found.stores[0].state, found.stores[0].why) == ("unknown", "unknown", NO_CANARY)
    quiet = view(monitor({"qdrant": qdrant(), CANARY: canary(0)}, {"qdrant": qdrant(), CANARY: canary(0)}))
    assert (quiet.state, quiet.stores[0].why) == ("unknown", NO_CHANGE)


def test_a_worker_that_does_not_answer_is_not_known_and_its_lag_is_what_the_canary_sees() -> None:
    before = {"qdrant": qdrant(), CANARY: canary(0)}
    silent = view(monitor(before, {CANARY: canary(100)}))
    assert [(one.text, one.known) for one in silent.late] == [("qdrant does not answer: its state is not known", False)]
    assert (silent.state, silent.stores[0].state) == ("unknown", "unknown")
    aged = canary(100, gauges={series(GROUP_LAG_SECONDS, group="p.qdrant", topic="embedded"): 75.0})
    stuck = view(monitor(before, {CANARY: aged}, lag=behind(120)))
    assert "qdrant: 120 records are not settled, the oldest for 1 min 15 s" in [one.text for one in stuck.late]
    assert (stuck.state, stuck.stores[0].state) == ("late", "late")
    unaged = view(monitor(before, {CANARY: canary(100)}, lag=behind(7)))
    assert "qdrant: 7 records are not settled; how old they are is not known" in [one.text for one in unaged.late]


def test_a_partition_that_is_behind_and_an_open_problem_are_late_with_their_words() -> None:
    problem = "held: embedded since 12:03:04 UTC: a newer schema"
    late = {"qdrant": qdrant(0, [problem], age=42.5), CANARY: canary(100)}
    found = view(monitor({"qdrant": qdrant(), CANARY: canary(0)}, late, lag=behind(120)))
    assert [one.text for one in found.late] == [f"qdrant: {problem}", "qdrant: embedded-3 is 42 s behind, 120 records"]
    assert (found.state, found.stores[0].why) == ("late", "because of qdrant: see below")


def test_the_partitions_of_all_groups_are_in_one_order_by_their_age() -> None:
    def of(age: float, group: str, number: int) -> tuple[Watched, WorkerHealth]:
        lag = GroupLag("Stable", 1, copies=RUNS.copies, partitions={TopicPartition("t", number): 1})
        read = WorkerMetrics({}, {series(LAG_SECONDS, topic="t", partition=str(number)): age} if age else {})
        made = Watched(ConsumerGroup(group, f"p.{group}", frozenset()), lag)
        return made, WorkerHealth(True, copies={"http://a": WorkerHealth(True, metrics=read)})

    groups = {group: of(age, group, number) for group, age, number in (("a", 1.0, 1), ("b", 30.0, 2), ("c", 0.0, 3))}
    made = monitor({group: health for group, (_, health) in groups.items()})
    found = partition_lags(made, *(watched for watched, _ in groups.values()))
    assert [(one.group, one.number, one.age) for one in found] == [("p.c", 3, None), ("p.b", 2, 30.0), ("p.a", 1, 1.0)]


def test_no_running_copy_and_a_silent_copy_are_named() -> None:
    none = view(monitor({CANARY: canary(0)}, {CANARY: canary(100)}, lag=GroupLag("Empty", 0)))
    assert ("no copy of qdrant runs", True) in [(one.text, one.known) for one in none.late]
    two = GroupLag("Stable", 2, copies=RUNS.copies * 2)
    some = view(monitor({"qdrant": qdrant(), CANARY: canary(0)}, {"qdrant": qdrant(), CANARY: canary(100)}, lag=two))
    assert [one.text for one in some.late] == ["qdrant: 1 of 2 copies cannot be read from here"]
    assert some.state == "unknown"


def test_nothing_is_known_before_the_first_reading() -> None:
    made = WorkerMonitor(KafkaSettings(), [ConsumerGroup("qdrant", "p.qdrant", frozenset())], {}, [])
    assert view(made).state == "unknown"
    assert [one.known for one in view(made).late] == [False]


def test_the_columns_of_delays_are_described_in_words() -> None:
    shown = delay_columns([None, 0.5, 12.0, INF, 0.045], 5.0, "Found in qdrant")
    assert 'aria-label="Found in qdrant: at most longer than is measured, last 45 ms"' in shown
    assert (shown.count('class="over"'), shown.count('class="under"'), shown.count("objective")) == (2, 2, 1)
    assert "nothing was measured" in delay_columns([None, None], None, "Found")


async def test_the_first_page_says_what_it_does_not_know_while_servers_are_down(operator: httpx.AsyncClient) -> None:
    page = await operator.get("/")
    assert page.status_code == 200
    assert "It is not known whether everything is fresh" in page.text
    for store in ("elasticsearch", "pgvector", "qdrant"):
        assert f'<th scope="row">{store}<span class="sub">products and keywords</span>' in page.text
    assert NO_CANARY in page.text
    assert "Not known: <bdi>postgres does not answer" in page.text
    assert "within the objective" not in page.text
    assert (await operator.get("/causes")).status_code == 503
