"""Real faults in a stream of changes: afterwards every store has the newest changes, without further dead letters.

Each test publishes a catalogue of its own and changes to it. During the stream the test breaks something, waits
until the workers report it, and repairs it. Then it compares all stores with the newest changes, and checks for every
worker: published = applied + superseded + dead.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Sequence

import pytest
from harness.pipeline import Pipeline, catalogue_events
from harness.processes import WorkerProcess
from harness.servers import Servers

from headrace_worker.worker import worker_names

pytestmark = [pytest.mark.servers, pytest.mark.alone, pytest.mark.asyncio(loop_scope="module")]

EVENTS_A_SECOND = 30.0
MOST_EVENTS = 6000
"""More than the longest fault takes at that rate."""
WRITERS = {"qdrant": "qdrant", "elasticsearch": "elasticsearch", "postgres": "pgvector"}
"""Each store, and the worker that writes most to it."""

Fault = Callable[[], Awaitable[None]]


async def survives(pipeline: Pipeline, fault: Fault) -> None:
    """Publishes a steady stream from before the fault to after it; checks the guarantees when all workers are done."""
    events = catalogue_events(products=70, keywords=30, count=MOST_EVENTS)
    async with asyncio.TaskGroup() as group:
        broken = group.create_task(_after_the_first_second(fault))
        publishing = group.create_task(pipeline.publish_during(broken, events, a_second=EVENTS_A_SECOND))
    published = publishing.result()
    await pipeline.settled()
    assert await pipeline.differences(published) == []
    assert await pipeline.dead_letters() == []
    for name in pipeline.workers:
        assert set(await pipeline.outcomes(name)) <= {"applied", "superseded"}


async def _after_the_first_second(fault: Fault) -> None:
    await asyncio.sleep(1.0)
    await fault()


async def kill_in_mid_stream(worker: WorkerProcess, times: int) -> None:
    """Kills the worker each time it has settled a batch of the stream, and starts it again."""
    for _ in range(times):
        await settles_a_batch(worker)
        worker.kill()
        await start(worker)
    await settles_a_batch(worker)


async def settles_a_batch(worker: WorkerProcess) -> None:
    settled = worker.count("batch_settled")
    await asyncio.to_thread(worker.wait_for, "batch_settled", more_than=settled)


async def start(worker: WorkerProcess) -> None:
    started = worker.count("worker_started")
    worker.start()
    await asyncio.to_thread(worker.wait_for, "worker_started", more_than=started)


async def break_stores(
    pipeline: Pipeline, stores: Collection[str], break_one: Callable[[str], None], repair: Callable[[str], None]
) -> None:
    """Breaks the stores at once; repairs them when each one's writer has found its store unavailable."""
    writers = [pipeline.workers[WRITERS[store]] for store in stores]
    before = [writer.count("store_unavailable") for writer in writers]
    for store in stores:
        await asyncio.to_thread(break_one, store)
    for writer, count in zip(writers, before, strict=True):
        await asyncio.to_thread(writer.wait_for, "store_unavailable", more_than=count)
    for store in stores:
        await asyncio.to_thread(repair, store)


async def test_kill_9_of_all_workers_in_mid_stream(pipeline: Pipeline) -> None:
    """Each at its own moment."""

    async def killed() -> None:
        async with asyncio.TaskGroup() as group:
            for worker in pipeline.workers.values():
                group.create_task(kill_in_mid_stream(worker, times=1))

    await survives(pipeline, killed)


@pytest.mark.long
@pytest.mark.parametrize("name", worker_names())
async def test_kill_9_of_one_worker_in_mid_stream(pipeline: Pipeline, name: str) -> None:
    await survives(pipeline, lambda: kill_in_mid_stream(pipeline.workers[name], times=3))


async def test_kill_9_of_all_stores(pipeline: Pipeline, faults: Servers) -> None:
    await survives(pipeline, lambda: break_stores(pipeline, WRITERS, faults.kill, faults.start))


@pytest.mark.long
@pytest.mark.parametrize("store", WRITERS)
async def test_kill_9_of_one_store(pipeline: Pipeline, faults: Servers, store: str) -> None:
    await survives(pipeline, lambda: break_stores(pipeline, [store], faults.kill, faults.start))


async def test_kill_9_of_the_broker(pipeline: Pipeline, faults: Servers) -> None:
    async def killed() -> None:
        await asyncio.to_thread(faults.kill, "kafka")
        await asyncio.sleep(2)
        await asyncio.to_thread(faults.start, "kafka")

    await survives(pipeline, killed)


async def test_every_store_is_paused_for_longer_than_a_request_may_take(pipeline: Pipeline, faults: Servers) -> None:
    await survives(pipeline, lambda: break_stores(pipeline, WRITERS, faults.pause, faults.resume))


async def test_a_rebalance_with_two_copies_of_every_worker(pipeline: Pipeline) -> None:
    copies = [pipeline.process(name, copy="-2") for name in pipeline.workers]

    async def joined_and_left() -> None:
        for copy in copies:
            copy.start()
        for copy in copies:
            # A copy settles a batch only when a rebalance has given it partitions.
            await asyncio.to_thread(copy.wait_for, "batch_settled")
        assert await asyncio.gather(*(asyncio.to_thread(copy.stop) for copy in copies)) == [0] * len(copies)

    try:
        await survives(pipeline, joined_and_left)
    finally:
        for copy in copies:
            copy.end()


@pytest.mark.long
async def test_a_rolling_restart_under_load(pipeline: Pipeline) -> None:
    """Two workers at a time."""

    async def restarted_in_turn(workers: Sequence[WorkerProcess]) -> None:
        for worker in workers:
            assert await asyncio.to_thread(worker.stop) == 0
            await start(worker)
            await settles_a_batch(worker)

    async def restarted() -> None:
        workers = list(pipeline.workers.values())
        await asyncio.gather(restarted_in_turn(workers[::2]), restarted_in_turn(workers[1::2]))

    await survives(pipeline, restarted)
