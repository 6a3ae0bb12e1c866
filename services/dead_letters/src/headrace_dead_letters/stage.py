"""The stage of the worker `dead_letters`, and the index that it writes."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta

from headrace_dead_letters import metrics
from headrace_dead_letters.expiry import remove_expired_regularly
from headrace_dead_letters.settings import DeadLettersSettings
from headrace_letters.index import LetterIndex
from headrace_letters.index_batch import index_records
from headrace_runtime.decoder import KafkaRecord
from headrace_schemas.topics import Topics


class LetterStage:
    """Writes dead letters and receipts into the index."""

    def __init__(self, topics: Topics, index: LetterIndex) -> None:
        self._topics = topics
        self._index = index

    async def store(self, records: Sequence[KafkaRecord]) -> Mapping[str, int]:
        """Returns when PostgreSQL has committed the batch. Raises Unavailable."""
        letters = await index_records(self._index, self._topics, records, metrics.count_replays)
        return {"dead_letter": letters, "receipts": len(records) - letters}

    async def check(self) -> None:
        """Raises Unavailable unless the tables of the index answer."""
        await self._index.check()


def letter_index(settings: DeadLettersSettings) -> LetterIndex:
    """The index in the settings' PostgreSQL database."""
    return LetterIndex(
        settings.postgres, settings.names.schema, replaying_for=timedelta(seconds=settings.dead.replaying_for)
    )


@asynccontextmanager
async def open_stage(settings: DeadLettersSettings) -> AsyncIterator[LetterStage]:
    """The stage with its index; PostgreSQL may be down. Beside it, the rows of expired letters are removed, and
    letters are counted.
    """
    index = letter_index(settings)
    beside = [
        asyncio.create_task(remove_expired_regularly(index, settings.kafka)),
        asyncio.create_task(metrics.count_letters_regularly(index)),
    ]
    try:
        yield LetterStage(settings.topics, index)
    finally:
        for task in beside:
            task.cancel()
        await asyncio.gather(*beside, return_exceptions=True)
        await index.close()
