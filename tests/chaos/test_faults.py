"""Real faults in a stream of changes: afterwards every store is the fold, and no fault has made a dead letter.

Each test publishes a catalogue of its own and changes to it, breaks something while they are on their way, mends it,
and looks at all stores and at the whole account: published = applied + superseded + dead, for every worker.
"""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from harness.pipeline import Pipeline, catalogue_events
from harness.servers import Servers

from headrace_worker.worker import worker_names

pytestmark = [pytest.mark.servers, pytest.mark.asyncio(loop_scope="module")]

EVENTS_A_SECOND = 60.0
STORES = ("qdrant", "elasticsearch", "postgres")
PAUSE_SECONDS = 30.0


async def survives(pipeline: Pipeline, fault: Callable[[], Awaitable[None]]) -> None:
    """Publishes a steady stream, lets the fault happen in it, and checks what must hold once all is quiet."""
    events = catalogue_events(products=70, keywords=30, count=200)
    async with asyncio.TaskGroup() as group:
        group.create_task(pipeline.publish(events, a_second=EVENTS_A_SECOND))
        await asyncio.sleep(1.0)
        group.create_task(_awaited(fault))
    await pipeline.settled()
    assert await pipeline.differences(events) == []
    assert await pipeline.dead_letters() == []
    for name in pipeline.workers:
        assert set(await pipeline.outcomes(name)) <= {"applied", "superseded"}


async def _awaited(fault: Callable[[], Awaitable[None]]) -> None:
    await fault()


@pytest.mark.parametrize("name", worker_names())
async def test_kill_9_of_a_worker_in_mid_batch(pipeline: Pipeline, name: str) -> None:
    worker = pipeline.workers[name]

    async def killed_three_times() -> None:
        for _ in range(3):
            settled = worker.count("batch_settled")
            await asyncio.to_thread(worker.wait_for, "batch_settled", more_than=settled)
            worker.kill()
            started = worker.count("worker_started")
            worker.start()
            await asyncio.to_thread(worker.wait_for, "worker_started", more_than=started)

    await survives(pipeline, killed_three_times)


@pytest.mark.parametrize("store", STORES)
async def test_kill_9_of_a_store(pipeline: Pipeline, faults: Servers, store: str) -> None:
    async def killed() -> None:
        await asyncio.to_thread(faults.kill, store)
        await asyncio.sleep(3)
        await asyncio.to_thread(faults.start, store)

    await survives(pipeline, killed)


async def test_kill_9_of_the_broker(pipeline: Pipeline, faults: Servers) -> None:
    async def killed() -> None:
        await asyncio.to_thread(faults.kill, "kafka")
        await asyncio.sleep(2)
        await asyncio.to_thread(faults.start, "kafka")

    await survives(pipeline, killed)


async def test_every_store_stands_still_for_half_a_minute(pipeline: Pipeline, faults: Servers) -> None:
    async def paused() -> None:
        for store in STORES:
            await asyncio.to_thread(faults.pause, store)
        await asyncio.sleep(PAUSE_SECONDS)
        for store in STORES:
            await asyncio.to_thread(faults.resume, store)

    await survives(pipeline, paused)


async def test_a_rebalance_with_two_copies_of_every_worker(pipeline: Pipeline) -> None:
    copies = [pipeline.process(name, copy="-2") for name in pipeline.workers]

    async def joined_and_left() -> None:
        for copy in copies:
            copy.start()
        for copy in copies:
            await asyncio.to_thread(copy.wait_for, "worker_started")
        await asyncio.sleep(3)
        for copy in copies:
            assert await asyncio.to_thread(copy.stop) == 0

    try:
        await survives(pipeline, joined_and_left)
    finally:
        for copy in copies:
            copy.end()


async def test_a_rolling_restart_under_load(pipeline: Pipeline) -> None:
    async def restarted_in_turn() -> None:
        for worker in pipeline.workers.values():
            assert await asyncio.to_thread(worker.stop) == 0
            started = worker.count("worker_started")
            worker.start()
            await asyncio.to_thread(worker.wait_for, "worker_started", more_than=started)

    await survives(pipeline, restarted_in_turn)
