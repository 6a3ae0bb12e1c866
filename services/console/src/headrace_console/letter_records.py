"""The records of single letters, from a connection that stays open, because opening one takes longer than reading."""

import asyncio
from contextlib import AsyncExitStack

from headrace_letters.letter import Letter
from headrace_letters.letter_reader import LetterReader, open_letter_reader
from headrace_runtime.decoder import KafkaRecord
from headrace_worker.settings import KafkaSettings


class LetterRecords:
    """Connects on first use, and again after a failure. It reads one record at a time."""

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings
        self._one_at_a_time = asyncio.Lock()
        self._connection = AsyncExitStack()
        self._reader: LetterReader | None = None

    async def get(self, letter: Letter) -> KafkaRecord | None:
        """The record of the letter; None if it has expired. Raises Unavailable."""
        async with self._one_at_a_time:
            try:
                if self._reader is None:
                    self._reader = await self._connection.enter_async_context(open_letter_reader(self._settings))
                (found,) = await self._reader.records_of([letter])
                self._reader.pause()
            except BaseException:
                # A request that was cancelled during a read leaves the reader in an unknown state.
                await self.close()
                raise
            return found

    async def close(self) -> None:
        """Disconnects."""
        self._reader = None
        await self._connection.aclose()
