"""A thread for work that would block the event loop, and the number of such threads that are busy in this process."""

import asyncio
import itertools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

T = TypeVar("T")

_busy: set[int] = set()
_numbers = itertools.count()


class WorkThread:
    """Runs one piece of work at a time, in the order of the calls.

    A thread cannot be interrupted. So a call that is cancelled removes work that has not begun, and work that has begun
    goes on to its end: the next call waits for it, and nothing is started beside it. Give it small pieces of work.
    """

    def __init__(self, name: str) -> None:
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix=name)

    async def run(self, work: Callable[..., T], *arguments: Any) -> T:
        """What `work` returns or raises."""
        return await asyncio.get_running_loop().run_in_executor(self._executor, _counted, work, arguments)

    def close(self) -> None:
        """Takes no more work, and waits for none: a process that ends must not wait for work that nobody needs."""
        self._executor.shutdown(wait=False, cancel_futures=True)


def busy_threads() -> int:
    """How many threads of this process run a piece of work now."""
    return len(_busy)


def _counted(work: Callable[..., T], arguments: tuple[Any, ...]) -> T:
    number = next(_numbers)
    _busy.add(number)
    try:
        return work(*arguments)
    finally:
        _busy.discard(number)
