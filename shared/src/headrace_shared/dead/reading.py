"""The bytes of dead letters, read back from the topics that they lie in."""

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

from headrace_shared.runtime.items import KafkaRecord, Position
from headrace_shared.settings import KafkaSettings


class LetterReader:
    """Reads records by their place, without a consumer group."""

    def read(self, positions: Iterable[Position]) -> AsyncIterator[tuple[Position, KafkaRecord | None]]:
        """Each record, in the order given; None for one that has expired or was never there.

        One record at a time is held. Fast where the positions come in the topic's order, as from `LetterIndex.walk`:
        then the topic is read through, also from one call to the next. Raises Unavailable.
        """
        raise NotImplementedError


@asynccontextmanager
async def open_letters(settings: KafkaSettings) -> AsyncIterator[LetterReader]:
    """A reader of any topics. Raises Unavailable if no broker answers."""
    raise NotImplementedError
    yield LetterReader()
