"""Jobs in the background: progress, stop and failure."""

import asyncio
from collections.abc import AsyncGenerator

import pytest

from headrace_console.jobs import MAX_JOBS, Jobs
from headrace_letters.selection import Selection
from headrace_worker.stage import Unavailable


async def counting(to: int, closed: list[bool], pause: asyncio.Event | None = None) -> AsyncGenerator[int, None]:
    try:
        for number in range(to):
            yield number
            if pause is not None:
                await pause.wait()
    finally:
        closed.append(True)


async def test_every_reader_of_a_job_sees_its_end() -> None:
    jobs, closed = Jobs(), list[bool]()
    job = jobs.start("preview", "on-call", Selection(), counting(3, closed))
    for _ in range(2):
        seen = [job.progress async for _ in job.changes(0)]
        assert (seen[-1], job.state, closed) == (2, "done", [True])


async def test_a_stopped_job_closes_its_steps_and_keeps_its_progress() -> None:
    jobs, closed, never = Jobs(), list[bool](), asyncio.Event()
    job = jobs.start("replay", "on-call", Selection(), counting(3, closed, never))
    async for _ in job.changes(0):
        if job.progress == 0:
            break
    await job.stop()
    assert (job.state, job.progress, closed) == ("stopped", 0, [True])
    assert [None async for _ in job.changes(0)] == [None]


async def test_the_end_of_the_console_stops_running_jobs() -> None:
    jobs, closed = Jobs(), list[bool]()
    job = jobs.start("replay", "on-call", Selection(), counting(3, closed, asyncio.Event()))
    async for _ in job.changes(0):
        if job.progress == 0:
            break
    await jobs.close()
    assert (job.state, closed) == ("stopped", [True])


async def test_a_failed_job_has_its_error_in_one_line() -> None:
    async def failing() -> AsyncGenerator[int, None]:
        yield 1
        raise Unavailable("qdrant", "refused\nmore lines")

    job = Jobs().start("preview", "on-call", Selection(), failing())
    async for _ in job.changes(0):
        pass
    assert (job.state, job.error) == ("failed", "qdrant: refused")


async def test_only_the_newest_jobs_and_all_running_ones_are_kept() -> None:
    jobs, never = Jobs(), asyncio.Event()
    running = jobs.start("replay", "on-call", Selection(), counting(1, [], never))
    for _ in range(MAX_JOBS + 20):
        done = jobs.start("replay", "on-call", Selection(), counting(1, []))
        async for _ in done.changes(0):
            pass
    assert len(jobs.newest_first("replay")) <= MAX_JOBS + 1
    assert jobs.get(running.id) is running
    assert jobs.newest_first("replay")[0] is done
    await jobs.close()


@pytest.mark.parametrize("kind", ["preview", "replay"])
async def test_an_unknown_job_is_none(kind: str) -> None:
    assert Jobs().get(kind) is None
