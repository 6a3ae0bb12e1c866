"""Work in a thread is bounded: a call that is given up starts nothing beside the work that still runs."""

import asyncio
import threading

import pytest

from headrace_worker.work_thread import WorkThread, busy_threads


async def test_work_that_a_cancelled_call_left_runs_alone_until_it_ends() -> None:
    thread, release = WorkThread("test"), threading.Event()
    running = most = 0

    def slow(number: int) -> int:
        nonlocal running, most
        running += 1
        most = max(most, running)
        release.wait(20)
        running -= 1
        return number

    try:
        for number in range(5):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05):
                    await thread.run(slow, number)
        assert (most, busy_threads()) == (1, 1)
        release.set()
        async with asyncio.timeout(20):
            # What was cancelled before it began is gone.
            assert await thread.run(lambda: (most, running)) == (1, 0)
        assert busy_threads() == 0
    finally:
        release.set()
        thread.close()


async def test_an_error_of_the_work_is_raised() -> None:
    thread = WorkThread("test")
    with pytest.raises(ZeroDivisionError):
        await thread.run(lambda: 1 / 0)
    thread.close()
    assert busy_threads() == 0
