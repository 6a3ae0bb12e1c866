"""A store that is down or silent is unavailable. When it is back, nothing is missing."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from harness.servers import Servers
from harness.sinks import Sink, impatient, outcomes_of, server_sink_names
from harness.store_control import StoreControl

from headrace_worker.stage import Applied, Outcome, Stage, Superseded, Unavailable
from headrace_worker.store import Store

NewId = Callable[[str], str]
pytestmark = pytest.mark.parametrize("sink", server_sink_names(), indirect=True)


@pytest.fixture
def store_control(sink: Sink, faults: Servers) -> StoreControl:
    return StoreControl(faults, sink.server)


async def test_a_store_that_is_down_before_a_batch_is_unavailable_and_then_stores_it(
    sink: Sink, stage: Stage[Any], store: Store, store_control: StoreControl, new_id: NewId
) -> None:
    first, second = changes(sink, new_id, 1), changes(sink, new_id, 2)
    await stage.check()
    await store_control.kill()
    async with sink.stage() as opened_while_down:
        for one in (stage, opened_while_down):
            assert await all_unavailable(one, first)
            with pytest.raises(Unavailable):
                await one.check()
        with pytest.raises(Unavailable):
            await store.get("product", [first[0].id])
        await store_control.start()
        assert await outcomes_of(stage, first) == [Applied()] * len(first)
        await check_stored(sink, store, first)
        assert await outcomes_of(opened_while_down, second) == [Applied()] * len(second)
        await check_stored(sink, store, second)


async def test_a_store_killed_during_batches_is_unavailable_and_loses_nothing_that_was_applied(
    sink: Sink, stage: Stage[Any], store: Store, store_control: StoreControl, new_id: NewId
) -> None:
    applied: list[Any] = []
    running = asyncio.Event()

    async def write_until_unavailable() -> list[Any]:
        for number in range(10_000):
            batch = changes(sink, lambda name, number=number: new_id(f"{number}-{name}"), 1)  # type: ignore[misc]
            outcomes = await apply(stage, batch)
            applied.extend(
                change for change, outcome in zip(batch, outcomes, strict=True) if isinstance(outcome, Applied)
            )
            running.set()
            assert {type(outcome) for outcome in outcomes} <= {Applied, Unavailable}
            if any(isinstance(outcome, Unavailable) for outcome in outcomes):
                return batch
        raise AssertionError("the store was never unavailable")

    writing = asyncio.create_task(write_until_unavailable())
    async with asyncio.timeout(120):
        await running.wait()
        await store_control.kill()
        interrupted = await writing
    await store_control.start()
    await outcomes_of(stage, [sink.upsert("product", new_id("awake"), 1)])
    await check_stored(sink, store, applied)
    assert await outcomes_of(stage, interrupted) == [Applied()] * len(interrupted)
    await check_stored(sink, store, interrupted)


async def test_a_store_killed_after_a_batch_has_it_deletes_included_and_applies_it_again(
    sink: Sink, stage: Stage[Any], store: Store, store_control: StoreControl, new_id: NewId
) -> None:
    upserts = changes(sink, new_id, 3)
    batch = [sink.delete("product", change.id, 3) if index % 3 == 0 else change for index, change in enumerate(upserts)]
    await outcomes_of(stage, changes(sink, new_id, 1))
    assert await outcomes_of(stage, batch) == [Applied()] * len(batch)
    await store_control.kill()
    await store_control.start()
    late = await outcomes_of(stage, changes(sink, new_id, 2))
    assert {type(outcome) for outcome in late} == {Superseded}
    assert await outcomes_of(stage, batch) == [Applied()] * len(batch)
    await check_stored(sink, store, batch)


async def test_a_silent_store_is_unavailable_within_its_time_limit(
    sink: Sink, store: Store, store_control: StoreControl, new_id: NewId
) -> None:
    batch = changes(sink, new_id, 1)
    async with sink.worker.stage(impatient(sink.settings, sink.server)) as stage:
        await stage.check()
        await store_control.pause()
        async with asyncio.timeout(20):
            assert await all_unavailable(stage, batch)
            with pytest.raises(Unavailable):
                await stage.check()
        await store_control.resume()
        assert await outcomes_of(stage, batch) == [Applied()] * len(batch)
    await check_stored(sink, store, batch)


@pytest.mark.long
async def test_an_older_upsert_is_superseded_after_elasticsearch_has_forgotten_a_real_delete(
    sink: Sink, stage: Stage[Any], store: Store, new_id: NewId
) -> None:
    delete = sink.delete("product", new_id("a"), 3)
    await outcomes_of(stage, [sink.upsert("product", new_id("a"), 1)])
    await outcomes_of(stage, [delete])
    await asyncio.sleep(61)
    await store.refresh()
    (late,) = await outcomes_of(stage, [sink.upsert("product", new_id("a"), 2)])
    assert isinstance(late, Superseded)
    await check_stored(sink, store, [delete])


def changes(sink: Sink, new_id: NewId, version: int) -> list[Any]:
    return [sink.upsert("product", new_id(str(number)), version) for number in range(100)]


async def apply(stage: Stage[Any], batch: Sequence[Any]) -> Sequence[Outcome]:
    """One attempt. The outcome of the whole batch is the outcome of each change."""
    try:
        return await stage.apply(batch)
    except Unavailable as error:
        return [error] * len(batch)


async def all_unavailable(stage: Stage[Any], batch: Sequence[Any]) -> bool:
    return all(isinstance(outcome, Unavailable) for outcome in await apply(stage, batch))


async def check_stored(sink: Sink, store: Store, batch: Sequence[Any]) -> None:
    stored = await store.get("product", [change.id for change in batch])
    assert stored == {change.id: sink.stored(change) for change in batch}
