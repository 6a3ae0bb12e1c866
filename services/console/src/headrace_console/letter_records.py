"""The records of single letters, from one connection that stays open: to open one takes longer than to read."""

import asyncio
from contextlib import AsyncExitStack

from headrace_letters.letter_reader import LetterReader, open_letter_reader
from headrace_runtime.decoder import KafkaRecord, Position
from headrace_worker.settings import KafkaSettings


class Records:
    """Connects when it is first asked, and anew after a failure. One record is read at a time."""

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings
        self._one_at_a_time = asyncio.Lock()
        self._connection = AsyncExitStack()
        self._reader: LetterReader | None = None

    async def get(self, at: Position) -> KafkaRecord | None:
        """The record as it lies in its topic; None if it has expired. Raises Unavailable."""
        async with self._one_at_a_time:
            try:
                if self._reader is None:
                    self._reader = await self._connection.enter_async_context(open_letter_reader(self._settings))
                found = [record async for _, record in self._reader.read([at])]
                self._reader.rest()
            except BaseException:
                # A request that was broken off in the middle of a read leaves a reader that nobody should use again.
                await self.close()
                raise
            return found[0]

    async def close(self) -> None:
        """Disconnects."""
        self._reader = None
        await self._connection.aclose()
