"""Rebuilds the index from the topics."""

from collections.abc import Callable
from dataclasses import dataclass

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from headrace_clients.kafka import client_options
from headrace_clients.topic_reader import TopicReader, open_topics
from headrace_letters.index import LetterIndex, open_index
from headrace_letters.index_batch import IndexBatch
from headrace_letters.index_settings import DeadSettings, IndexSettings
from headrace_worker.settings import CommonSettings
from headrace_worker.stage import Unavailable

PART = 4000


@dataclass(frozen=True, slots=True)
class Reindexed:
    """The numbers of merged records. `decisions`: the decisions of operators in the audit."""

    letters: int
    receipts: int
    decisions: int


async def rebuild(settings: IndexSettings, on_progress: Callable[[int, int], None]) -> Reindexed:
    """Creates the tables if they are missing, then does `reindex`."""
    async with open_index(settings) as index:
        await index.prepare()
        return await reindex(settings, index, on_progress)


async def reindex(settings: IndexSettings, index: LetterIndex, on_progress: Callable[[int, int], None]) -> Reindexed:
    """Merges all dead letters and receipts on the topics, and all decisions of operators, into the index again. Removes
    nothing; the worker may run at the same time.

    `on_progress` gets the number of records read and the total. Raises Unavailable, UnknownTopic.
    """
    try:
        topics = [settings.topics.receipts, *await dead_topics(settings, settings.dead)]
        async with open_topics(settings.kafka, topics) as reader:
            letters, receipts = await _merge_all(reader, index, settings, on_progress)
    except (KafkaError, OSError) as error:
        raise Unavailable("kafka", f"cannot be read: {type(error).__name__}") from error
    return Reindexed(letters, receipts, await index.decide_again())


async def dead_topics(settings: CommonSettings, dead: DeadSettings) -> list[str]:
    """The existing dead-letter topics: of all workers with this prefix, and the further ones of the settings."""
    admin = AIOKafkaAdminClient(**client_options(settings.kafka))
    await admin.start()
    try:
        existing = await admin.list_topics()
    finally:
        await admin.close()
    further = set(dead.further_topics)
    return sorted(topic for topic in existing if topic.startswith(settings.topics.dead("")) or topic in further)


async def _merge_all(
    reader: TopicReader, index: LetterIndex, settings: IndexSettings, on_progress: Callable[[int, int], None]
) -> tuple[int, int]:
    total, letters, receipts = await reader.left(), 0, 0
    part = IndexBatch(settings.topics)

    async def write() -> None:
        nonlocal letters, receipts, part
        await part.write(index)
        letters, receipts = letters + len(part.letters), receipts + part.receipts
        part = IndexBatch(settings.topics)
        on_progress(letters + receipts, max(total, letters + receipts))

    async for record in reader.until_now():
        part.add(record)
        if len(part.letters) + part.receipts == PART:
            await write()
    await write()
    return letters, receipts
