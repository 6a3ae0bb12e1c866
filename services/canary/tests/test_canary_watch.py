"""A search is measured, and a store that does not answer is reported without an effect on the others."""

import asyncio
import time
from collections.abc import Awaitable, Callable

import pytest
from prometheus_client.parser import text_string_to_metric_families

from headrace_canary.group_lags import GroupLags, Lag
from headrace_canary.metrics import CanaryMetrics
from headrace_canary.publication import Versions
from headrace_canary.rounds import Round, Rounds
from headrace_canary.targets import Target
from headrace_canary.watch import pause, watches
from headrace_runtime.health import Health
from headrace_worker.stage import Unavailable

Search = Callable[[], Awaitable[int | None]]


class Measured:
    """The watches of two stores, `broken` and `good`, of which one change of version 7 is published."""

    def __init__(self, broken: Search, good: Search) -> None:
        self.lags = GroupLags()
        self.health = Health(30.0)
        self.metrics = CanaryMetrics([self.health], 2.2, self.lags)
        self.health.assigned = 1
        self.versions = Versions()
        self.versions.published = 7
        self.targets = [
            Target("broken", "product", broken, Rounds(60.0)),
            Target("good", "product", good, Rounds(60.0)),
        ]
        for target in self.targets:
            target.rounds.add(Round(7, "upsert", time.monotonic()))

    async def run(self, seconds: float) -> None:
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(watch.run())
                for watch in watches(self.targets, self.versions, self.metrics, self.health)
            ]
            await asyncio.sleep(seconds)
            for task in tasks:
                task.cancel()

    def sample(self, name: str, **labels: str) -> float | None:
        for family in text_string_to_metric_families(self.metrics.page("*/*")[0].decode()):
            for sample in family.samples:
                if sample.name == name and labels.items() <= sample.labels.items():
                    return sample.value
        return None


async def finds_seven() -> int | None:
    return 7


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (Unavailable("broken", "429 too many requests"), "429 too many requests"),
        (ValueError("secret"), "the search failed with ValueError"),
    ],
)
async def test_a_store_that_does_not_answer_is_a_problem_and_the_others_are_measured(
    error: Exception, words: str
) -> None:
    async def fails() -> int | None:
        raise error

    measured = Measured(fails, finds_seven)
    await measured.run(0.2)
    (problem,) = measured.health.problems()
    assert problem.startswith("unavailable: broken since ")
    assert problem.endswith(words)
    labels = {"kind": "product", "change": "upsert"}
    assert measured.sample("headrace_searchable_seconds_count", store="good", **labels) == 1
    assert measured.sample("headrace_searchable_seconds_count", store="broken", **labels) is None
    assert measured.sample("headrace_searchable_seconds_bucket", store="good", le="2.2") == 1, "the objective"
    assert measured.sample("headrace_problem", kind="store", subject="broken") == 1


async def test_a_store_that_answers_again_is_no_problem_any_more() -> None:
    answers = iter([Unavailable("broken", "down")])

    async def fails_once() -> int | None:
        for error in answers:
            raise error
        return 7

    measured = Measured(fails_once, finds_seven)
    await measured.run(1.5)
    assert measured.health.problems() == []
    assert measured.sample("headrace_searchable_seconds_count", store="broken") == 1


async def test_a_version_that_this_process_has_not_published_shows_nothing_and_is_exceeded_by_the_next_one() -> None:
    """After a clock was set back, or if somebody else publishes the canary."""
    ahead = time.time_ns() // 1_000_000 + 3_600_000

    async def finds_newer() -> int | None:
        return ahead

    measured = Measured(finds_newer, finds_seven)
    await measured.run(0.2)
    assert measured.sample("headrace_searchable_seconds_count", store="broken") is None
    assert measured.versions.next() == ahead + 1


def test_versions_are_the_milliseconds_of_the_clock_and_grow() -> None:
    versions = Versions()
    made = [versions.next() for _ in range(5)]
    assert made == sorted(set(made))
    assert abs(made[0] - time.time() * 1000) < 1000


def test_a_slow_pipeline_is_asked_less_often() -> None:
    assert pause(0.1, 0.001) == 0.05
    assert pause(10.0, 0.001) == 0.5
    assert pause(1000.0, 0.001) == 1.0
    assert pause(0.1, 0.4) == 0.4


def test_the_age_of_the_first_uncommitted_record_grows_between_two_readings(monkeypatch: pytest.MonkeyPatch) -> None:
    measured = Measured(finds_seven, finds_seven)
    measured.lags.put({("g", "t"): Lag(3, time.time() - 10), ("g", "u"): Lag(0, None), ("g", "v"): Lag(2, None)})
    first = measured.sample("headrace_group_lag_seconds", topic="t")
    second = measured.sample("headrace_group_lag_seconds", topic="t")
    assert first is not None
    assert second is not None
    assert 10 <= first < second < 20
    assert measured.sample("headrace_group_lag_seconds", topic="u") == 0
    assert measured.sample("headrace_group_lag_seconds", topic="v") is None, "an unknown age must not look like none"
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now + 120)
    assert measured.sample("headrace_group_lag", topic="t") is None, "nothing was read for two minutes"
