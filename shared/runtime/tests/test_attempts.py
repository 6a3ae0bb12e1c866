"""One attempt: a refused batch is halved to the refused change, a failed batch is narrowed down, and only a change that
fails alone on a healthy store is poison."""

import asyncio
import itertools
from collections.abc import Sequence
from typing import Any

import pytest
from harness.memory import MemoryStage
from harness.records import product
from hypothesis import given
from hypothesis import strategies as st

from headrace_runtime.attempts import Attempts
from headrace_schemas.changes import KeywordChange, ProductChange
from headrace_worker.stage import Applied, NoAnswer, Outcome, Rejected, Unavailable

TRIES = 3


def changes(count: int, version: int = 1) -> list[ProductChange]:
    return [ProductChange.model_validate(product(f"p{n}", version)) for n in range(count)]


def attempts(stage: Any, timeout: float = 5.0) -> Attempts:
    return Attempts(stage, timeout=timeout, poison_tries=TRIES)


def kinds(outcomes: Sequence[Outcome]) -> list[type]:
    return [type(outcome) for outcome in outcomes]


@st.composite
def subsets(draw: st.DrawFn) -> tuple[int, set[int]]:
    count = draw(st.integers(1, 40))
    return count, draw(st.sets(st.integers(0, count - 1)))


@given(subsets())
async def test_bisecting_finds_exactly_the_changes_that_the_store_refuses(drawn: tuple[int, set[int]]) -> None:
    count, bad = drawn
    stage = MemoryStage()
    stage.refuse_batch_with = {f"p{n}" for n in bad}
    outcomes = await attempts(stage).apply(changes(count))
    assert kinds(outcomes) == [Rejected if n in bad else Applied for n in range(count)]
    assert set(stage.versions()) == {f"p{n}" for n in range(count) if n not in bad}


async def test_bisecting_takes_few_tries() -> None:
    stage = MemoryStage()
    stage.refuse_batch_with = {"p700"}
    await attempts(stage).apply(changes(1024))
    assert len(stage.batches) <= 2 * 10 + 1


async def test_overload_is_never_bisected() -> None:
    stage = MemoryStage()
    stage.down = True
    for attempt in (attempts(stage).apply, attempts(stage).narrow_down):
        stage.batches = []
        assert kinds(await attempt(changes(50))) == [Unavailable] * 50
        assert len(stage.batches) == 1


async def test_the_outcomes_that_a_stage_returns_do_not_change() -> None:
    stage = MemoryStage()
    stage.reject = {"p1"}
    assert kinds(await attempts(stage).apply(changes(3))) == [Applied, Rejected, Applied]
    assert len(stage.batches) == 1


@given(subsets())
async def test_narrowing_down_applies_every_change_that_does_not_break_the_store(drawn: tuple[int, set[int]]) -> None:
    count, bad = drawn
    # With more than a few, and none that succeeds before them, the store is at fault and the search ends.
    bad = set(sorted(bad)[:2])
    stage = MemoryStage()
    stage.break_on = {f"p{n}" for n in bad}
    outcomes = await attempts(stage).narrow_down(changes(count))
    assert kinds(outcomes) == [Unavailable if n in bad else Applied for n in range(count)]


@given(subsets())
async def test_a_change_that_breaks_the_store_alone_while_others_succeed_is_poison(drawn: tuple[int, set[int]]) -> None:
    count, bad = drawn
    bad = set(sorted(bad)[:2])
    stage = MemoryStage()
    stage.break_on = {f"p{n}" for n in bad}
    attempt = attempts(stage)
    for _ in range(TRIES - 1):
        assert Rejected not in kinds(await attempt.narrow_down(changes(count)))
    outcomes = await attempt.narrow_down(changes(count))
    poisoned = {n for n, outcome in enumerate(outcomes) if isinstance(outcome, Rejected)}
    assert poisoned == (bad if count > len(bad) else set())
    assert {outcome.reason for outcome in outcomes if isinstance(outcome, Rejected)} <= {"poison"}


async def test_a_change_that_fails_while_no_other_succeeds_is_never_poison() -> None:
    stage = MemoryStage()
    stage.break_on = {"p0"}
    attempt = attempts(stage)
    for _ in range(5 * TRIES):
        assert kinds(await attempt.narrow_down(changes(1))) == [Unavailable]


async def test_successes_before_the_first_failure_do_not_count() -> None:
    stage = MemoryStage()
    attempt = attempts(stage)
    await attempt.apply(changes(5))
    stage.break_on = {f"p{n}" for n in range(5)}
    for _ in range(5 * TRIES):
        assert set(kinds(await attempt.narrow_down(changes(5, version=2)))) == {Unavailable}


async def test_a_store_that_fails_every_change_makes_no_poison_and_the_search_ends_early() -> None:
    stage = MemoryStage()
    stage.break_on = {f"p{n}" for n in range(1000)}
    attempt = attempts(stage)
    for _ in range(5 * TRIES):
        stage.batches = []
        assert set(kinds(await attempt.narrow_down(changes(1000)))) == {Unavailable}
        assert len(stage.batches) < 30


@pytest.mark.parametrize(
    ("count", "requests"), [(6, [6, 3, 1, 2, 1, 1, 3]), (8, [8, 4, 2, 1, 1, 2, 1, 1, 4])], ids=["three", "four"]
)
async def test_the_search_ends_after_three_changes_failed_alone_without_a_success(
    count: int, requests: list[int]
) -> None:
    stage = MemoryStage()
    stage.break_on = {f"p{n}" for n in range(count)}
    await attempts(stage).narrow_down(changes(count))
    assert [len(batch) for batch in stage.batches] == requests


async def test_the_search_goes_on_after_many_changes_failed_alone_if_others_succeed() -> None:
    bad = range(0, 16, 2)
    stage = MemoryStage()
    stage.break_on = {f"p{n}" for n in bad}
    outcomes = await attempts(stage).narrow_down(changes(16))
    assert kinds(outcomes) == [Unavailable if n in bad else Applied for n in range(16)]


async def test_failures_from_before_the_first_success_count() -> None:
    stage = MemoryStage()
    stage.break_on = {"p0"}
    attempt = attempts(stage)
    for _ in range(TRIES + 1):
        assert kinds(await attempt.narrow_down(changes(1))) == [Unavailable]
    assert kinds(await attempt.narrow_down(changes(4))) == [Unavailable, Applied, Applied, Applied]
    assert kinds(await attempt.narrow_down(changes(4))) == [Rejected, Applied, Applied, Applied]


async def test_many_changes_that_break_the_store_are_found_although_their_batch_is_given_back_again_and_again() -> None:
    """Each time the whole batch is read again, and the verdicts of the time before still hold."""
    stage = MemoryStage()
    stage.break_on = {f"p{n}" for n in range(30)}
    search, found = attempts(stage), list[set[str]]()
    for _ in range(15):
        waiting, rejected = changes(120), set[str]()
        for number in range(8):
            outcomes = await (search.narrow_down if number else search.apply)(waiting)
            answered = list(zip(waiting, outcomes, strict=True))
            rejected |= {change.id for change, outcome in answered if isinstance(outcome, Rejected)}
            waiting = [change for change, outcome in answered if isinstance(outcome, Unavailable)]
            if not waiting:
                break
        found.append(rejected)
        if not waiting:
            break
    assert found[-1] == stage.break_on
    assert all(before <= after for before, after in itertools.pairwise(found))
    stage.break_on = set()
    assert set(kinds(await search.apply(changes(120)))) == {Applied}
    stage.break_on = {"p0"}
    outcomes = await search.narrow_down(changes(120, version=1))
    assert kinds(outcomes[:2]) == [Unavailable, Applied]


async def test_a_success_resets_the_failures_of_a_change() -> None:
    stage = MemoryStage()
    attempt = attempts(stage)
    for _ in range(2):
        stage.break_on = {"p1"}
        for _ in range(TRIES - 1):
            assert Rejected not in kinds(await attempt.narrow_down(changes(4)))
        stage.break_on = set()
        assert set(kinds(await attempt.apply(changes(4)))) == {Applied}


class NoProducts(MemoryStage):
    """A store without the collection of one kind."""

    async def apply(self, changes: Sequence[Any]) -> list[Outcome]:
        if any(change.kind == "product" for change in changes):
            self.batches.append(list(changes))
            raise Unavailable("memory", "answered 500", suspect=True)
        return await super().apply(changes)


async def test_a_store_that_fails_every_change_of_one_kind_makes_no_poison_of_it() -> None:
    fields: dict[str, Any] = {"op": "upsert", "version": 1, "occurred_at": "2026-01-01T00:00:00Z", "text": "t"}
    keywords = [KeywordChange(keyword_id=f"k{n}", **fields) for n in range(60)]
    stage = NoProducts()
    attempt = attempts(stage)
    for _ in range(5 * TRIES):
        stage.batches = []
        outcomes = await attempt.narrow_down([*changes(40), *keywords])
        assert kinds(outcomes[:40]) == [Unavailable] * 40
        assert Applied in kinds(outcomes[40:])
        assert len(stage.batches) < 30


class FailsItsCheck(MemoryStage):
    async def check(self) -> None:
        raise Unavailable("memory", "does not answer its health check")


async def test_no_change_is_poison_while_the_store_fails_its_health_check() -> None:
    stage = FailsItsCheck()
    stage.break_on = {"p1"}
    attempt = attempts(stage)
    for _ in range(5 * TRIES):
        assert kinds(await attempt.narrow_down(changes(4))) == [Applied, Unavailable, Applied, Applied]


async def test_each_version_of_a_change_has_its_own_tries() -> None:
    stage = MemoryStage()
    stage.break_on = {"p1"}
    attempt = attempts(stage)
    for version in range(1, 4 * TRIES):
        assert Rejected not in kinds(await attempt.narrow_down(changes(4, version)))


class Buggy(MemoryStage):
    """A stage whose own code raises an error for some changes."""

    def apply_one(self, change: Any) -> Outcome:
        if change.id == "p2":
            raise KeyError(change.id)
        return super().apply_one(change)


async def test_an_error_in_the_stages_code_is_handled_like_an_internal_error_of_the_store() -> None:
    attempt = attempts(Buggy())
    first, *_ = await attempt.apply(changes(4))
    assert isinstance(first, Unavailable)
    assert first.suspect
    assert isinstance(first.__cause__, KeyError)
    for _ in range(TRIES - 1):
        assert kinds(await attempt.narrow_down(changes(4))) == [Applied, Applied, Unavailable, Applied]
    assert kinds(await attempt.narrow_down(changes(4))) == [Applied, Applied, Rejected, Applied]


class AnswersTooFew(MemoryStage):
    async def apply(self, changes: Sequence[Any]) -> list[Outcome]:
        return (await super().apply(changes))[:-1]


async def test_a_stage_that_returns_too_few_outcomes_has_answered_for_no_change() -> None:
    outcomes = await attempts(AnswersTooFew()).apply(changes(3))
    assert kinds(outcomes) == [Unavailable] * 3


class Hangs(MemoryStage):
    async def apply(self, changes: Sequence[Any]) -> list[Outcome]:
        await asyncio.Event().wait()
        raise AssertionError


async def test_a_store_that_does_not_answer_in_time_is_unavailable_and_no_change_is_suspect() -> None:
    outcomes = await attempts(Hangs(), timeout=0.01).apply(changes(2))
    assert kinds(outcomes) == [NoAnswer] * 2
    assert not any(outcome.suspect for outcome in outcomes if isinstance(outcome, Unavailable))


async def test_a_cancelled_attempt_is_not_an_error_of_the_stage() -> None:
    running = asyncio.create_task(attempts(Hangs()).apply(changes(1)))
    await asyncio.sleep(0)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


async def test_every_call_of_the_stage_in_a_search_is_a_heartbeat() -> None:
    beats: list[int] = []
    stage = MemoryStage()
    stage.break_on = {"p3"}
    searching = Attempts(stage, timeout=5, poison_tries=TRIES, beat=lambda: beats.append(len(stage.batches)))
    await searching.narrow_down(changes(8))
    assert len(stage.batches) > 3
    assert beats == list(range(1, len(stage.batches) + 1))
