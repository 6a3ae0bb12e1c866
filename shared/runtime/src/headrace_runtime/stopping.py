"""The end of a worker, which its pauses do not delay."""

import asyncio


class Stopping:
    """Set once the worker is asked to stop. It ends every pause early."""

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
