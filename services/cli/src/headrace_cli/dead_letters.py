"""Reads the dead-letter topics."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient

from headrace_schemas import headers
from headrace_shared.kafka import client_options
from headrace_shared.settings import CommonSettings
from headrace_shared.topic_reader import open_topics


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """What the headers of a dead letter say. Texts are as they came: they may hold anything."""

    worker: str
    reason: str
    key: str
    topic: str
    partition: str
    offset: str
    attempts: str
    failed_at: str
    message: str
    fingerprint: str


async def dead_letters(settings: CommonSettings) -> AsyncIterator[DeadLetter]:
    """Every dead letter of every worker that there is now, in no order between workers."""
    topics = await dead_topics(settings)
    if not topics:
        return
    async with open_topics(settings.kafka, topics) as reader:
        async for record in reader.until_now():
            yield dead_letter(record, record.topic.removeprefix(settings.topics.dead("")))


async def dead_topics(settings: CommonSettings) -> list[str]:
    """The dead-letter topics that exist, also of workers that are not installed here."""
    admin = AIOKafkaAdminClient(**client_options(settings.kafka))
    await admin.start()
    try:
        return sorted(topic for topic in await admin.list_topics() if topic.startswith(settings.topics.dead("")))
    finally:
        await admin.close()


def dead_letter(record: Any, worker: str) -> DeadLetter:
    """What a record of a dead-letter topic says of itself."""
    named = {name: (value or b"").decode(errors="replace") for name, value in record.headers}
    return DeadLetter(
        worker=worker,
        reason=named.get(headers.DEAD_REASON, ""),
        key=(record.key or b"").decode(errors="replace"),
        topic=named.get(headers.CONNECT_TOPIC, ""),
        partition=named.get(headers.CONNECT_PARTITION, ""),
        offset=named.get(headers.CONNECT_OFFSET, ""),
        attempts=named.get(headers.DEAD_ATTEMPTS, ""),
        failed_at=named.get(headers.DEAD_FAILED_AT, ""),
        message=named.get(headers.CONNECT_MESSAGE, ""),
        fingerprint=named.get(headers.DEAD_FINGERPRINT, ""),
    )
