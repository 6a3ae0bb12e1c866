"""A store of link sets that is down or silent is unavailable. When it is back, every set is stored as a whole."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from harness.link_sinks import LinkSink, link_set, link_sink_names, tombstone
from harness.servers import Servers
from harness.sinks import impatient, outcomes_of
from harness.store_control import StoreControl

from headrace_schemas.links import ProductLinks
from headrace_worker.stage import Applied, Outcome, Stage, Superseded, Unavailable
from headrace_worker.store import LinkStore

NewId = Callable[[str], str]
pytestmark = pytest.mark.parametrize("link_sink", link_sink_names(on_servers=True), indirect=True)


@pytest.fixture
def link_store_control(link_sink: LinkSink, faults: Servers) -> StoreControl:
    return StoreControl(faults, link_sink.server)


async def test_a_store_that_is_down_before_link_sets_come_is_unavailable_and_then_stores_them(
    link_stage: Stage[Any], link_store: LinkStore, link_store_control: StoreControl, new_id: NewId
) -> None:
    batch = sets(new_id, 1)
    await link_stage.check()
    await link_store_control.kill()
    assert await all_unavailable(link_stage, batch)
    for read in (link_store.links_of([batch[0].id]), link_store.products_of(new_id("0"), 1)):
        with pytest.raises(Unavailable):
            await read
    await link_store_control.start()
    assert await outcomes_of(link_stage, batch) == [Applied()] * len(batch)
    await check_stored(link_store, batch)


async def test_a_store_killed_while_link_sets_are_replaced_has_each_of_them_complete(
    link_stage: Stage[Any], link_store: LinkStore, link_store_control: StoreControl, new_id: NewId
) -> None:
    running = asyncio.Event()
    applied = sets(new_id, 1)
    await outcomes_of(link_stage, applied)

    async def replace_until_unavailable() -> tuple[list[ProductLinks], list[ProductLinks]]:
        before = applied
        for version in range(2, 10_000):
            batch = sets(new_id, version)
            outcomes = await apply(link_stage, batch)
            assert {type(outcome) for outcome in outcomes} <= {Applied, Unavailable}
            running.set()
            if any(isinstance(outcome, Unavailable) for outcome in outcomes):
                return before, batch
            before = batch
        raise AssertionError("the store was never unavailable")

    replacing = asyncio.create_task(replace_until_unavailable())
    async with asyncio.timeout(120):
        await running.wait()
        await link_store_control.kill()
        before, interrupted = await replacing
    await link_store_control.start()
    await outcomes_of(link_stage, [link_set(new_id("awake"), 1, [])])
    stored = await link_store.links_of([links.id for links in before])
    for old, new in zip(before, interrupted, strict=True):
        assert stored[old.id] in (old, new)
    assert await outcomes_of(link_stage, interrupted) == [Applied()] * len(interrupted)
    await check_stored(link_store, interrupted)


async def test_a_store_killed_after_link_sets_were_applied_has_them_tombstones_included(
    link_stage: Stage[Any], link_store: LinkStore, link_store_control: StoreControl, new_id: NewId
) -> None:
    batch = [tombstone(links.id, 3) if place % 3 == 0 else links for place, links in enumerate(sets(new_id, 3))]
    assert await outcomes_of(link_stage, batch) == [Applied()] * len(batch)
    await link_store_control.kill()
    await link_store_control.start()
    assert {type(outcome) for outcome in await outcomes_of(link_stage, sets(new_id, 2))} == {Superseded}
    assert await outcomes_of(link_stage, batch) == [Applied()] * len(batch)
    await check_stored(link_store, batch)


async def test_a_silent_store_is_unavailable_to_link_sets_within_its_time_limit(
    link_sink: LinkSink, link_store: LinkStore, link_store_control: StoreControl, new_id: NewId
) -> None:
    batch = sets(new_id, 1)
    async with link_sink.worker.stage(impatient(link_sink.settings, link_sink.server)) as stage:
        await stage.check()
        await link_store_control.pause()
        async with asyncio.timeout(20):
            assert await all_unavailable(stage, batch)
        await link_store_control.resume()
        assert await outcomes_of(stage, batch) == [Applied()] * len(batch)
    await check_stored(link_store, batch)


def sets(new_id: NewId, version: int) -> list[ProductLinks]:
    """100 link sets of different sizes, empty ones among them."""
    keywords = [new_id(str(number)) for number in range(40)]
    return [
        link_set(new_id(f"p{number}"), version, keywords[(number + version) % 30 : (number * 7 + version) % 40])
        for number in range(100)
    ]


async def apply(stage: Stage[Any], batch: Sequence[Any]) -> Sequence[Outcome]:
    """One attempt. Unavailable, if raised, is the outcome of each set."""
    try:
        return await stage.apply(batch)
    except Unavailable as error:
        return [error] * len(batch)


async def all_unavailable(stage: Stage[Any], batch: Sequence[Any]) -> bool:
    return all(isinstance(outcome, Unavailable) for outcome in await apply(stage, batch))


async def check_stored(store: LinkStore, batch: Sequence[ProductLinks]) -> None:
    assert await store.links_of([links.id for links in batch]) == {links.id: links for links in batch}
