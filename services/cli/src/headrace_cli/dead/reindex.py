"""Makes the index again from the topics."""

from collections.abc import Callable
from dataclasses import dataclass

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from headrace_clients.kafka import client_options
from headrace_clients.topic_reader import TopicReader, open_topics
from headrace_letters.index import LetterIndex
from headrace_letters.index_batch import IndexBatch
from headrace_letters.index_settings import DeadSettings, IndexSettings
from headrace_worker.settings import CommonSettings
from headrace_worker.stage import Unavailable

AT_ONCE = 4000


@dataclass(frozen=True, slots=True)
class Reindexed:
    """What was folded in. `decisions`: of operators, which the audit still has."""

    letters: int
    receipts: int
    decisions: int


async def reindex(settings: IndexSettings, index: LetterIndex, on_progress: Callable[[int, int], None]) -> Reindexed:
    """Folds every dead letter and every receipt that retention has kept into the index again, and what operators have
    decided. Takes nothing away, and the worker may run beside it.

    `on_progress` is told how many records have been read, and of how many. Raises Unavailable, UnknownTopic.
    """
    try:
        topics = [settings.topics.receipts, *await dead_topics(settings, settings.dead)]
        async with open_topics(settings.kafka, topics) as reader:
            letters, receipts = await _take_all(reader, index, settings, on_progress)
    except (KafkaError, OSError) as error:
        raise Unavailable("kafka", f"cannot be read: {type(error).__name__}") from error
    return Reindexed(letters, receipts, await index.decide_again())


async def dead_topics(settings: CommonSettings, dead: DeadSettings) -> list[str]:
    """The dead-letter topics that there are: of any worker under the prefix, and the further ones of the settings."""
    admin = AIOKafkaAdminClient(**client_options(settings.kafka))
    await admin.start()
    try:
        existing = await admin.list_topics()
    finally:
        await admin.close()
    further = set(dead.further_topics)
    return sorted(topic for topic in existing if topic.startswith(settings.topics.dead("")) or topic in further)


async def _take_all(
    reader: TopicReader, index: LetterIndex, settings: IndexSettings, on_progress: Callable[[int, int], None]
) -> tuple[int, int]:
    total, letters, receipts = await reader.left(), 0, 0
    digest = IndexBatch(settings.topics)

    async def write() -> None:
        nonlocal letters, receipts, digest
        await digest.write(index)
        letters, receipts = letters + len(digest.letters), receipts + digest.receipts
        digest = IndexBatch(settings.topics)
        on_progress(letters + receipts, max(total, letters + receipts))

    async for record in reader.until_now():
        digest.add(record)
        if len(digest.letters) + digest.receipts == AT_ONCE:
            await write()
    await write()
    return letters, receipts
