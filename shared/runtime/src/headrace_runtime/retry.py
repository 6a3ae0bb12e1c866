"""Trying again while a store is down: exponential backoff with full jitter, bounded, and cut short by a shutdown."""

import asyncio
from collections.abc import Callable

from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, wait_random_exponential

from headrace_worker.settings import BatchSettings
from headrace_worker.stage import Unavailable

FIRST_WAIT = 0.2
"""Upper bound of the first pause, seconds; it doubles from try to try up to `backoff_max`."""


class Stopping:
    """Set once the worker is asked to stop; a pause ends early when it is."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def set(self) -> None:
        """Ends every pause, now and from now on."""
        self._event.set()

    def __bool__(self) -> bool:
        return self._event.is_set()

    async def pause(self, seconds: float) -> None:
        """Waits that long, or until the worker is asked to stop."""
        try:
            await asyncio.wait_for(self._event.wait(), seconds)
        except TimeoutError:
            return


def retrying(
    settings: BatchSettings, stopping: Stopping, on_unavailable: Callable[[Unavailable], None]
) -> AsyncRetrying:
    """Retries Unavailable until `give_back_after` seconds have passed or the worker stops, then raises it.

    `on_unavailable` is told of each, before the pause.
    """

    def tell(state: RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        if isinstance(error, Unavailable):
            on_unavailable(error)

    def over(state: RetryCallState) -> bool:
        waited = (state.seconds_since_start or 0.0) + state.upcoming_sleep
        return bool(stopping) or waited > settings.give_back_after

    return AsyncRetrying(
        retry=retry_if_exception_type(Unavailable),
        wait=wait_random_exponential(multiplier=FIRST_WAIT, max=settings.backoff_max),
        stop=over,
        after=tell,
        sleep=stopping.pause,
        reraise=True,
    )
