"""A change that alone has no answer in time becomes one dead letter; a slow store never makes one.

The event loop of these tests has its own clock, which jumps to the next timer. So a search of minutes takes no time.
"""

import asyncio
import itertools
import random
import selectors
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from typing import Any, TypeVar

import pytest
from harness.memory import MemoryStage
from harness.records import product

from headrace_runtime.attempts import Attempts
from headrace_runtime.no_answer import NoAnswerSearch, pieces
from headrace_schemas.changes import KeywordChange, ProductChange
from headrace_worker.stage import Applied, NoAnswer, Outcome, Rejected, Unavailable

TIMEOUT = GIVE_BACK_AFTER = 60.0
SHORT = TIMEOUT / 6
"""The time for a part of a batch."""
TRIES = 5
POLL_INTERVAL = 300.0
T = TypeVar("T")
Seconds = Callable[[Sequence[Any]], float]


class JumpingClock(selectors.DefaultSelector):
    """Waits for nothing: it counts the seconds that it was asked to wait."""

    now = 0.0

    def select(self, timeout: float | None = None) -> Any:
        self.now += timeout or 0.0
        return super().select(0)


class JumpingLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._clock = JumpingClock()
        super().__init__(self._clock)

    def time(self) -> float:
        return self._clock.now


def run(main: Coroutine[Any, Any, T]) -> T:
    with asyncio.Runner(loop_factory=JumpingLoop) as runner:
        return runner.run(main)


class Takes(MemoryStage):
    """A stage that needs some seconds for a call."""

    def __init__(self, seconds: Seconds) -> None:
        super().__init__()
        self.seconds = seconds

    async def apply(self, changes: Sequence[Any]) -> list[Outcome]:
        await asyncio.sleep(self.seconds(changes))
        return await super().apply(changes)


def hangs_with(*bad: str) -> Seconds:
    return lambda changes: 1e9 if any(change.id in bad for change in changes) else 0.1


def products(count: int, version: int = 1) -> list[Any]:
    return [ProductChange.model_validate(product(f"p{n}", version)) for n in range(count)]


def keywords(count: int) -> list[Any]:
    fields: dict[str, Any] = {"op": "upsert", "version": 1, "occurred_at": "2026-01-01T00:00:00Z", "text": "t"}
    return [KeywordChange(keyword_id=f"k{n}", **fields) for n in range(count)]


async def handled(stage: Any, batch: Sequence[Any], times: int) -> list[dict[str, Outcome]]:
    """The outcomes of each handling of the batch, which is given back and read again until all of it is answered.

    An attempt leaves enough of the poll interval for one that began shortly before a batch would be given back.
    """
    attempts = Attempts(stage, timeout=TIMEOUT, poison_tries=TRIES)
    found = []
    for _ in range(times):
        started = asyncio.get_running_loop().time()
        outcomes = await attempts.apply(batch)
        assert asyncio.get_running_loop().time() - started <= 3 * TIMEOUT + 0.1
        assert 3 * TIMEOUT + GIVE_BACK_AFTER < POLL_INTERVAL
        found.append({change.id: outcome for change, outcome in zip(batch, outcomes, strict=True)})
        if not any(isinstance(outcome, Unavailable) for outcome in outcomes):
            break
    return found


def rejected(found: Sequence[dict[str, Outcome]]) -> set[str]:
    return {id for outcomes in found for id, outcome in outcomes.items() if isinstance(outcome, Rejected)}


@pytest.mark.parametrize("count", [2, 9, 500, 4000])
@pytest.mark.parametrize("place", [0.0, 0.5, 1.0])
def test_a_change_that_hangs_alone_on_a_healthy_store_is_the_only_dead_letter(count: int, place: float) -> None:
    bad = f"p{round((count - 1) * place)}"
    stage = Takes(hangs_with(bad))
    found = run(handled(stage, products(count), 3 + TRIES))
    assert rejected(found) == {bad}
    assert set(map(type, found[-1].values())) == {Applied, Rejected}
    assert set(stage.versions()) == {f"p{n}" for n in range(count)} - {bad}
    # The others wait for one attempt with the whole batch.
    applied = [sum(isinstance(outcome, Applied) for outcome in outcomes.values()) for outcomes in found]
    assert applied[:2] == [0, count - 1]
    assert len(found) == 1 + TRIES
    (rejection,) = (outcome for outcome in found[-1].values() if isinstance(outcome, Rejected))
    assert rejection.reason == "poison"


def test_several_changes_that_hang_are_each_found() -> None:
    bad = {f"p{n}" for n in (3, 77, 78, 400)}
    found = run(handled(Takes(hangs_with(*bad)), products(500), 40))
    assert rejected(found) == bad
    assert set(map(type, found[-1].values())) == {Applied, Rejected}


SLOW: dict[str, Seconds] = {
    "hangs": lambda changes: 1e9,
    "half": lambda changes: 0.5 * TIMEOUT,
    "double": lambda changes: 2 * TIMEOUT,
    "a change a second": len,
    "ten seconds and more": lambda changes: 10.1,
}


@pytest.mark.parametrize("name", SLOW)
@pytest.mark.parametrize("count", [1, 2, 9, 100])
def test_a_store_that_is_slow_for_every_change_makes_no_dead_letter(name: str, count: int) -> None:
    stage = Takes(SLOW[name])
    found = run(handled(stage, products(count), 30))
    assert rejected(found) == set()
    if name not in ("hangs", "double"):
        assert set(map(type, found[-1].values())) == {Applied}


def test_a_store_that_hangs_at_random_makes_no_dead_letter() -> None:
    for seed in range(60):
        chance = random.Random(seed)
        share = 0.1 + 0.8 * chance.random()
        stage = Takes(lambda changes, chance=chance, share=share: 1e9 if chance.random() < share else 0.1)
        assert rejected(run(handled(stage, products(1 + seed * 3), 12))) == set(), seed


def test_a_store_that_recovers_applies_everything() -> None:
    for down in (90.0, 150.0, 400.0, 1000.0):

        def seconds(changes: Sequence[Any], down: float = down) -> float:
            return max(0.1, down - asyncio.get_running_loop().time())

        found = run(handled(Takes(seconds), products(500), 30))
        assert rejected(found) == set()
        assert set(map(type, found[-1].values())) == {Applied}


@pytest.mark.parametrize("stalled", [15.0, 45.0, 70.0, 100.0, 250.0, 700.0])
@pytest.mark.parametrize("working", [1.0, 5.0, 20.0, 60.0, 300.0])
def test_a_store_that_stalls_again_and_again_makes_no_dead_letter(stalled: float, working: float) -> None:
    def seconds(changes: Sequence[Any]) -> float:
        at = asyncio.get_running_loop().time() % (stalled + working)
        return 0.1 if at < working else stalled + working - at

    for count in (2, 9, 60):
        assert rejected(run(handled(Takes(seconds), products(count), 20))) == set()


def test_changes_of_another_kind_prove_nothing() -> None:
    stage = Takes(lambda changes: 1e9 if any(change.kind == "product" for change in changes) else 0.1)
    found = run(handled(stage, [*products(3), *keywords(20)], 30))
    assert rejected(found) == set()
    assert {type(found[-1][f"k{n}"]) for n in range(20)} == {Applied}


class Stalled(Takes):
    """A store that answers what it has already, and takes no write."""

    def __init__(self) -> None:
        super().__init__(self._stalled)

    def _stalled(self, changes: Sequence[Any]) -> float:
        return 0.1 if all((change.kind, change.id) in self.stored for change in changes) else 1e9

    def apply_one(self, change: Any) -> Outcome:
        super().apply_one(change)
        return Applied(without_work=True)


def test_answers_without_a_write_prove_nothing() -> None:
    stage = Stalled()
    for change in products(19):
        stage.apply_one(change)
    found = run(handled(stage, products(20), 30))
    assert rejected(found) == set()
    assert {type(found[-1][f"p{n}"]) for n in range(19)} <= {Applied, NoAnswer}


def test_slow_answers_prove_nothing() -> None:
    def seconds(changes: Sequence[Any]) -> float:
        if any(change.id == "p3" for change in changes):
            return 1e9
        return 0.1 if asyncio.get_running_loop().time() < 3 * TIMEOUT else 0.4 * TIMEOUT

    stage = Takes(seconds)
    found = run(handled(stage, products(9), 30))
    assert rejected(found) == set()
    assert len(stage.stored) == 8


@pytest.mark.parametrize("count", [9, 60, 500])
@pytest.mark.parametrize("every", [2, 3, 4, 5, 7])
def test_a_store_that_drops_calls_makes_no_dead_letter_of_a_change_that_does_not_hang(every: int, count: int) -> None:
    calls = itertools.count()

    def seconds(changes: Sequence[Any]) -> float:
        return 1e9 if next(calls) % every == 0 or any(change.id == "p3" for change in changes) else 0.1

    assert rejected(run(handled(Takes(seconds), products(count), 60))) <= {"p3"}


def test_a_change_that_needs_long_alone_is_applied() -> None:
    def seconds(changes: Sequence[Any]) -> float:
        return 0.9 * TIMEOUT if any(change.id == "p7" for change in changes) else len(changes) / 5

    found = run(handled(Takes(seconds), products(200), 5))
    assert set(map(type, found[-1].values())) == {Applied}


class FailsItsCheck(Takes):
    async def check(self) -> None:
        raise Unavailable("memory", "does not answer its health check")


def test_no_change_is_poison_while_the_store_fails_its_health_check() -> None:
    found = run(handled(FailsItsCheck(hangs_with("p3")), products(9), 30))
    assert rejected(found) == set()
    assert sum(isinstance(outcome, Applied) for outcome in found[-1].values()) == 8


@pytest.mark.parametrize("stalled", [0, 1])
def test_an_answer_ends_the_count_of_a_change(stalled: int) -> None:
    async def main() -> None:
        stage = Takes(hangs_with("p3"))
        attempts = Attempts(stage, timeout=TIMEOUT, poison_tries=TRIES)

        async def attempt(times: int) -> list[Outcome]:
            return [(await attempts.apply(products(9)))[3] for _ in range(times)]

        assert set(map(type, await attempt(TRIES))) == {NoAnswer}
        stage.seconds = hangs_with(*(f"p{n}" for n in range(9)))
        assert set(map(type, await attempt(stalled))) <= {NoAnswer}
        stage.seconds = hangs_with()
        assert set(map(type, await attempt(1))) == {Applied}
        stage.seconds = hangs_with("p3")
        assert set(map(type, await attempt(TRIES))) == {NoAnswer}
        assert set(map(type, await attempt(1))) == {Rejected}

    run(main())


def test_the_next_newest_change_that_hangs_too_is_found_although_its_batch_is_given_back_meanwhile() -> None:
    async def main() -> None:
        attempts = Attempts(Takes(hangs_with("p3")), timeout=TIMEOUT, poison_tries=TRIES)
        newest, older = products(9, version=2), products(9)[3:4]
        for _ in range(4 * TRIES):
            if isinstance((await attempts.apply(newest))[3], Rejected):
                (outcome,) = await attempts.apply(older)
                if isinstance(outcome, Rejected):
                    return
        pytest.fail("the older change is never found")

    run(main())


def test_a_change_that_breaks_the_store_is_found_beside_one_that_hangs() -> None:
    async def main() -> dict[str, Outcome]:
        stage = Takes(hangs_with("p3"))
        stage.break_on = {"p6"}
        attempts = Attempts(stage, timeout=TIMEOUT, poison_tries=TRIES)
        attempt: Callable[[Sequence[Any]], Awaitable[list[Outcome]]] = attempts.apply
        waiting, rejections = products(9), {}
        for _ in range(4 * TRIES):
            outcomes = await attempt(waiting)
            suspect = any(isinstance(outcome, Unavailable) and outcome.suspect for outcome in outcomes)
            attempt = attempts.narrow_down if suspect else attempts.apply
            rejections |= {
                one.id: outcome for one, outcome in zip(waiting, outcomes, strict=True) if isinstance(outcome, Rejected)
            }
        return rejections

    assert set(run(main())) == {"p3", "p6"}


def test_every_call_in_a_search_is_a_heartbeat() -> None:
    async def main() -> None:
        beats: list[float] = []
        now = asyncio.get_running_loop().time
        attempts = Attempts(
            Takes(hangs_with("p3")), timeout=TIMEOUT, poison_tries=TRIES, beat=lambda: beats.append(now())
        )
        for _ in range(3):
            await attempts.apply(products(500))
        assert max(later - earlier for earlier, later in itertools.pairwise(beats)) <= TIMEOUT + 0.1

    run(main())


def test_each_try_of_a_change_that_is_known_to_hang_costs_the_whole_time_once() -> None:
    async def main() -> list[float]:
        now = asyncio.get_running_loop().time
        attempts = Attempts(Takes(hangs_with("p3")), timeout=TIMEOUT, poison_tries=TRIES)
        taken = []
        for _ in range(1 + TRIES):
            began = now()
            await attempts.apply(products(9))
            taken.append(now() - began)
        return taken

    assert max(run(main())[2:]) < TIMEOUT + TIMEOUT / 6 + 1


def test_each_search_probes_other_changes() -> None:
    """The first nine hang. A search that begins with the same three each time never finds a change that proves that the
    store works.
    """
    bad = {f"p{n}" for n in range(9)}
    found = run(handled(Takes(hangs_with(*bad)), products(40), 7))
    assert sum(isinstance(outcome, Applied) for outcome in found[-1].values()) == 40 - len(bad)


def test_the_others_of_each_batch_prove_that_the_store_works() -> None:
    async def main() -> list[Outcome]:
        attempts = Attempts(Takes(hangs_with("p3")), timeout=TIMEOUT, poison_tries=TRIES)
        return [(await attempts.apply([*products(4)[3:], *_others(number)]))[0] for number in range(1 + TRIES)]

    assert list(map(type, run(main()))) == [*[NoAnswer] * TRIES, Rejected]


def test_others_that_are_applied_slowly_prove_nothing() -> None:
    """First one answer in time, so that each change is tried alone; from then on each needs half of the time."""

    def seconds(changes: Sequence[Any]) -> float:
        if any(change.id == "p3" for change in changes):
            return 1e9
        return 0.1 if changes[0].id.endswith("of 0") else TIMEOUT / 2

    async def main() -> set[type[Outcome]]:
        attempts = Attempts(Takes(seconds), timeout=TIMEOUT, poison_tries=TRIES)
        return {type((await attempts.apply([*products(4)[3:], *_others(n)]))[0]) for n in range(4 * TRIES)}

    assert run(main()) == {NoAnswer}


def test_a_replay_of_a_change_that_hung_needs_one_more_try() -> None:
    async def main() -> list[Outcome]:
        attempts = Attempts(Takes(hangs_with("p3")), timeout=TIMEOUT, poison_tries=TRIES)
        outcomes = [(await attempts.apply(products(9)))[3] for _ in range(1 + TRIES)]
        assert isinstance(outcomes[-1], Rejected)
        replay = products(9)[3:4]
        return [(await attempts.apply([*replay, *_others(number)]))[0] for number in range(2)]

    assert list(map(type, run(main()))) == [NoAnswer, Rejected]


def test_many_changes_that_hang_are_each_found_and_the_others_do_not_wait_for_that() -> None:
    """The parts of a search do not fit into one attempt, so each attempt goes on where the last one ended."""
    bad = {f"p{n}" for n in range(0, 500, 20)}
    found = run(handled(Takes(hangs_with(*bad)), products(500), 100))
    assert rejected(found) == bad
    assert set(map(type, found[-1].values())) == {Applied, Rejected}
    others = [sum(isinstance(outcome, Applied) for outcome in outcomes.values()) for outcomes in found]
    assert others.index(500 - len(bad)) <= 20


class Calls:
    """Answers a search: a call takes as long as its slowest change. `made`: the ids and the seconds of each call."""

    def __init__(self, needed: Mapping[str, float]) -> None:
        self.needed = needed
        self.made: list[tuple[str, float]] = []
        self.search = NoAnswerSearch(self._call, self._check, timeout=TIMEOUT, tries=2)

    async def apply(self, changes: Sequence[Any], within: float) -> list[Outcome]:
        return await self.search.apply(changes, self._others, asyncio.get_running_loop().time() + within)

    def note_no_answer(self, changes: Sequence[Any]) -> None:
        self.search.note(changes, [NoAnswer("memory", "no answer in time")] * len(changes), quick=False)

    async def _call(self, changes: Sequence[Any], seconds: float) -> list[Outcome]:
        self.made.append((" ".join(change.id for change in changes), seconds))
        needed = max(self.needed.get(change.id, 0.1) for change in changes)
        await asyncio.sleep(min(needed, seconds))
        outcome: Outcome = Applied() if needed < seconds else NoAnswer("memory", "no answer in time")
        return [outcome] * len(changes)

    async def _check(self) -> None:
        pass

    async def _others(self, changes: Sequence[Any]) -> list[Outcome]:
        return [Applied() for _ in changes]


def test_a_change_that_needs_long_alone_proves_nothing_for_the_others() -> None:
    """`bad` has one try, and needs a new proof for the next one; without a proof it costs no call."""
    bad, slow, quick = products(3)
    calls = Calls({bad.id: 1e9, slow.id: TIMEOUT / 2})

    async def main() -> list[type[Outcome]]:
        calls.note_no_answer([bad, slow])
        first = await calls.apply([bad, slow, quick], within=2 * TIMEOUT)
        before = list(calls.made)
        second = await calls.apply([bad], within=10 * TIMEOUT)
        assert calls.made == before
        return list(map(type, [*first, *second]))

    assert run(main()) == [NoAnswer, Applied, Applied, NoAnswer]
    alone = [(bad.id, SHORT), (bad.id, TIMEOUT), (slow.id, SHORT), (slow.id, TIMEOUT)]
    assert calls.made == [(bad.id, SHORT), (slow.id, SHORT), *alone]


def test_a_search_halves_down_to_one_change_and_tries_that_again_with_the_whole_time_only() -> None:
    calls = Calls({"p2": 1e9})

    async def main() -> list[Outcome]:
        calls.note_no_answer(products(9))
        return await calls.apply([*products(9), *_others(0)], within=1000.0)

    outcomes = run(main())
    assert [index for index, outcome in enumerate(outcomes) if isinstance(outcome, NoAnswer)] == [2]
    parts = ["p0 p1", "p2 p3", "p4 p5", "p6 p7", "p8", "p2", "p3", "p2"]
    assert calls.made == [*((ids, SHORT) for ids in parts), ("p2", TIMEOUT)]


def test_a_search_in_parts_leaves_time_to_try_one_change_alone() -> None:
    waiting = products(64)
    calls = Calls({change.id: 1e9 for change in waiting})

    async def main() -> None:
        calls.note_no_answer(waiting)
        await calls.apply([*waiting, *_others(0)], within=TIMEOUT + 4 * SHORT)

    run(main())
    assert calls.made[-2:] == [("p0", SHORT), ("p0", TIMEOUT)]


@pytest.mark.parametrize("good", range(9))
def test_three_searches_probe_each_of_nine_changes(good: int) -> None:
    waiting = products(9)
    calls = Calls({change.id: 1e9 for change in waiting if change.id != f"p{good}"})

    async def main() -> set[type[Outcome]]:
        found = set()
        for _ in range(3):
            calls.note_no_answer(waiting)
            found.add(type((await calls.apply(waiting, within=1000.0))[good]))
        return found

    assert Applied in run(main())


def test_the_parts_of_a_step_are_of_equal_size_and_leave_nothing_out() -> None:
    assert pieces(range(16)) == [range(n, n + 2) for n in range(0, 16, 2)]
    assert pieces(range(3)) == [range(1), range(1, 2), range(2, 3)]


def _others(number: int) -> list[Any]:
    return [ProductChange.model_validate(product(f"other {n} of {number}", 1)) for n in range(3)]
