"""The dead_letters worker: it reads dead letters and receipts, and keeps an index of the letters."""

import asyncio
import re
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
from headrace_worker.worker import DEAD_LETTERS, RawInput, Worker


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


def topic_pattern(settings: DeadLettersSettings) -> str:
    """Matches the dead-letter topics of every worker, installed or not, the receipts, and the further topics that the
    settings name.
    """
    further = [re.escape(topic) for topic in (settings.topics.receipts, *settings.dead.further_topics)]
    return f"^(?:{re.escape(settings.topics.dead(''))}.+|{'|'.join(further)})$"


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


worker = Worker(
    DEAD_LETTERS,
    settings=DeadLettersSettings,
    tables=letter_index,
    raw=RawInput(topic_pattern, open_stage),
    metrics=metrics.ALL,
)
