"""The answers for a batch: the next newest after a rejection, outputs before any pause, and limited retries."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from harness.kafka_record import kafka_record
from harness.memory import MemoryStage
from harness.records import product

from headrace_runtime import attempts
from headrace_runtime.answers import Answered
from headrace_runtime.attempts import Attempts, RetryLoop
from headrace_runtime.decoder import Decoded
from headrace_runtime.stopping import Stopping
from headrace_schemas.changes import ProductChange
from headrace_worker.settings import BatchSettings
from headrace_worker.stage import Applied, Outcome, Output, Unavailable

MAX_OUTPUT = 1000


def decoded(*named: tuple[str, int]) -> list[Decoded]:
    found = []
    for offset, (product_id, version) in enumerate(named):
        value = product(product_id, version)
        found.append(Decoded(kafka_record(value, offset=offset), ProductChange.model_validate(value)))
    return found


class Run:
    """A retry loop, and what it published and reported."""

    def __init__(self, stage: Any, **batch: Any) -> None:
        self.settings = BatchSettings(**{"give_back_after": 0.2, "backoff_max": 0.01} | batch)
        self.stopping = Stopping()
        self.published: list[tuple[str, str]] = []
        self.unavailable: list[str] = []
        self.retried: list[str] = []
        self.publishing_fails = 0
        self.loop = RetryLoop(
            Attempts(stage, timeout=5.0, poison_tries=self.settings.poison_tries),
            self.settings,
            self.stopping,
            publish=self._publish,
            max_output_bytes=MAX_OUTPUT,
            on_unavailable=lambda error: self.unavailable.append(error.store),
            on_retry=lambda error: self.retried.append(error.store),
        )

    async def _publish(self, outputs: Sequence[tuple[Decoded, Output]]) -> None:
        if self.publishing_fails:
            self.publishing_fails -= 1
            raise Unavailable("kafka", "not acknowledged")
        self.published += [(one.change.id, output.topic) for one, output in outputs]

    async def answers(self, *named: tuple[str, int]) -> dict[tuple[str, int], str]:
        """The outcome of each (id, version)."""
        answered = await self.loop.answers(decoded(*named))
        assert len(answered) == len(named)
        return {(one.change.id, one.change.version): _outcome(one) for one in answered}


def _outcome(answered: Answered) -> str:
    return answered.rejection.reason if answered.rejection else answered.answer


class RefusesVersions(MemoryStage):
    def __init__(self, *refused: int) -> None:
        super().__init__()
        self.refused = refused

    def apply_one(self, change: Any) -> Outcome:
        self.reject = {change.id} if change.version in self.refused else set()
        return super().apply_one(change)


class Emits(MemoryStage):
    """A stage with outputs. `size`: bytes of the output of each id, 10 by default."""

    def __init__(self, **size: int) -> None:
        super().__init__()
        self.size = size

    def apply_one(self, change: Any) -> Outcome:
        outcome = super().apply_one(change)
        if not isinstance(outcome, Applied):
            return outcome
        small = Output("small", b"", b"")
        return Applied((small, Output("out", b"key", b"x" * (self.size.get(change.id, 10) - 3))))


async def test_only_the_newest_of_each_entity_reaches_the_stage() -> None:
    stage = MemoryStage()
    outcomes = await Run(stage).answers(("a", 2), ("a", 3), ("b", 1), ("a", 1))
    assert [[(one.id, one.version) for one in batch] for batch in stage.batches] == [[("a", 3), ("b", 1)]]
    assert outcomes == {("a", 3): "applied", ("a", 2): "superseded", ("a", 1): "superseded", ("b", 1): "applied"}


async def test_the_next_newest_is_applied_after_a_reject() -> None:
    stage = RefusesVersions(4, 3)
    outcomes = await Run(stage).answers(("a", 1), ("a", 2), ("a", 3), ("a", 4), ("b", 1))
    assert stage.versions() == {"a": 2, "b": 1}
    assert outcomes == {
        ("a", 4): "refused_by_store",
        ("a", 3): "refused_by_store",
        ("a", 2): "applied",
        ("a", 1): "superseded",
        ("b", 1): "applied",
    }


async def test_other_content_of_the_newest_version_is_tried_after_it_and_older_versions_are_not() -> None:
    stage = MemoryStage()
    titles = ["x", "y", "x", "z"]
    changes = [ProductChange.model_validate(product("a", 5, title=title)) for title in titles]
    changes += [ProductChange.model_validate(product("a", 4)), ProductChange.model_validate(product("b", 1))]
    answered = await Run(stage).loop.answers(
        Decoded(kafka_record(b"", offset=offset), change) for offset, change in enumerate(changes)
    )
    by_offset = sorted(answered, key=lambda one: one.record.offset)
    assert [one.answer for one in by_offset] == ["applied", "conflict", "applied", "conflict", "superseded", "applied"]
    assert [[change.id for change in batch] for batch in stage.batches] == [["a", "b"], ["a"], ["a"]]


async def test_the_only_other_change_is_applied_after_a_reject() -> None:
    stage = RefusesVersions(2)
    outcomes = await Run(stage).answers(("a", 1), ("a", 2))
    assert stage.versions() == {"a": 1}
    assert outcomes == {("a", 2): "refused_by_store", ("a", 1): "applied"}


async def test_a_change_older_than_the_stored_version_is_superseded() -> None:
    stage = MemoryStage()
    await Run(stage).answers(("a", 5))
    assert await Run(stage).answers(("a", 4)) == {("a", 4): "superseded"}


async def test_an_empty_batch_does_not_call_the_stage() -> None:
    stage = MemoryStage()
    assert await Run(stage).answers() == {}
    assert stage.batches == []


class DownFor(MemoryStage):
    """The store is down for the first tries, for all changes or for those of some ids."""

    def __init__(self, tries: int, *ids: str) -> None:
        super().__init__()
        self.tries = tries
        self.ids = ids

    async def apply(self, changes: Sequence[Any]) -> list[Outcome]:
        self.batches.append(list(changes))
        self.tries -= 1
        if self.tries >= 0 and not self.ids:
            raise Unavailable("memory", "is down")
        missing = Unavailable("memory", "is down")
        return [missing if self.tries >= 0 and one.id in self.ids else self.apply_one(one) for one in changes]


async def test_every_change_is_applied_if_the_store_recovers_in_time() -> None:
    run = Run(DownFor(3), give_back_after=30.0)
    assert await run.answers(("a", 1), ("b", 1)) == {("a", 1): "applied", ("b", 1): "applied"}
    assert run.unavailable == ["memory"] * 3
    assert run.retried == run.unavailable


async def test_the_attempt_after_which_a_batch_is_given_back_is_followed_by_no_retry() -> None:
    run = Run(DownFor(100), give_back_after=0.0001)
    with pytest.raises(Unavailable):
        await run.answers(("a", 1))
    assert len(run.retried) == len(run.unavailable) - 1


async def test_only_changes_without_an_answer_are_retried() -> None:
    stage = DownFor(2, "b")
    await Run(stage, give_back_after=30.0).answers(("a", 1), ("b", 1), ("c", 1))
    assert [[one.id for one in batch] for batch in stage.batches] == [["a", "b", "c"], ["b"], ["b"]]


async def test_outputs_are_published_before_any_pause() -> None:
    class EmitsButIsDownFor(Emits):
        async def apply(self, changes: Sequence[Any]) -> list[Outcome]:
            return [Unavailable("model", "is down") if one.id == "b" else self.apply_one(one) for one in changes]

    run = Run(EmitsButIsDownFor())
    with pytest.raises(Unavailable, match="model"):
        await run.answers(("a", 1), ("b", 1))
    assert run.published == [("a", "small"), ("a", "out")]


async def test_outputs_after_a_change_without_outputs_are_published() -> None:
    stage = Emits()
    await Run(stage).answers(("a", 2))
    run = Run(stage)
    assert await run.answers(("a", 1), ("b", 1)) == {("a", 1): "superseded", ("b", 1): "applied"}
    assert run.published == [("b", "small"), ("b", "out")]


async def test_an_output_is_published_once_while_another_change_is_retried() -> None:
    class DownThenEmits(Emits, DownFor):
        def __init__(self) -> None:
            DownFor.__init__(self, 3, "b")
            self.size = {}

        apply = DownFor.apply

    run = Run(DownThenEmits(), give_back_after=30.0)
    await run.answers(("a", 1), ("b", 1))
    assert [entity_id for entity_id, topic in run.published if topic == "out"] == ["a", "b"]


async def test_a_change_counts_as_applied_only_once_its_outputs_are_acknowledged() -> None:
    stage = Emits()
    run = Run(stage, give_back_after=30.0)
    run.publishing_fails = 2
    assert await run.answers(("a", 1)) == {("a", 1): "applied"}
    assert len(stage.batches) == 3
    assert run.unavailable == ["kafka", "kafka"]
    run.publishing_fails = 10**6
    run.settings.give_back_after = 0.05
    with pytest.raises(Unavailable, match="kafka"):
        await run.answers(("b", 1))


async def test_a_change_with_an_output_too_large_for_its_topic_is_rejected_and_publishes_nothing() -> None:
    run = Run(Emits(a=MAX_OUTPUT + 1, b=MAX_OUTPUT))
    assert await run.answers(("a", 2), ("b", 1)) == {("a", 2): "too_large", ("b", 1): "applied"}
    assert [entity_id for entity_id, _ in run.published] == ["b", "b"]


async def test_a_batch_is_given_back_once_its_time_is_over() -> None:
    stage = MemoryStage()
    stage.down = True
    started = asyncio.get_running_loop().time()
    with pytest.raises(Unavailable, match="is down"):
        await Run(stage, give_back_after=0.2).answers(("a", 1))
    assert len(stage.batches) > 2
    assert asyncio.get_running_loop().time() - started < 5.0


async def test_every_change_is_tried_once_even_without_time_to_retry() -> None:
    stage = MemoryStage()
    assert await Run(stage, give_back_after=1e-9).answers(("a", 1)) == {("a", 1): "applied"}
    stage.down = True
    stage.batches = []
    with pytest.raises(Unavailable):
        await Run(stage, give_back_after=1e-9).answers(("a", 2))
    assert len(stage.batches) == 1


class DownAndAskedToStop(MemoryStage):
    """A store that is down while the worker is asked to stop. `stopping`: what the request sets."""

    stopping: Stopping

    async def apply(self, changes: Sequence[Any]) -> list[Outcome]:
        self.batches.append(list(changes))
        asyncio.get_running_loop().call_soon(self.stopping.set)
        raise Unavailable("memory", "is down")


async def test_a_stop_ends_a_pause_at_once_and_the_batch_is_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    # A pause between 0 and eleven days.
    monkeypatch.setattr(attempts, "FIRST_PAUSE", 10**6)
    stage = DownAndAskedToStop()
    run = Run(stage, give_back_after=10**9, backoff_max=10**6)
    stage.stopping = run.stopping
    async with asyncio.timeout(20):
        with pytest.raises(Unavailable):
            await run.answers(("a", 1))
    # After the pause that the stop ends there is one last attempt.
    assert len(stage.batches) == 2


async def test_a_pause_lasts_its_time_or_until_the_stop() -> None:
    stopping = Stopping()
    assert not stopping
    await stopping.pause(0.001)
    asyncio.get_running_loop().call_soon(stopping.set)
    async with asyncio.timeout(20):
        await stopping.pause(3600)
        await stopping.pause(3600)
    assert stopping


async def test_a_change_that_breaks_the_store_does_not_delay_the_others() -> None:
    stage = MemoryStage()
    stage.break_on = {"c"}
    run = Run(stage, give_back_after=30.0, poison_tries=3)
    outcomes = await run.answers(*[(name, 1) for name in "abcdef"])
    assert outcomes.pop(("c", 1)) == "poison"
    assert set(outcomes.values()) == {"applied"}
