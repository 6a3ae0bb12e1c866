"""A reader of whole topics gives every record once, whenever it was published."""

import asyncio
import uuid
from typing import Any

from harness.servers import Servers

from headrace_cli.kafka_topics import apply_topics
from headrace_clients.kafka import producer
from headrace_clients.topic_reader import TopicReader, open_topics
from headrace_worker.settings import KafkaSettings, WorkerSettings

BOTH_ARE_FETCHED = 1.0
"""Seconds after which the consumer has fetched the records of both partitions."""


class Late(TopicReader):
    """Publishes another record after the reader has read the end offsets and before its first poll."""

    settings: KafkaSettings
    topic: str

    async def poll(self, timeout_ms: int = 200) -> list[Any]:
        if self.settings is not None:
            await publish(self.settings, self.topic, 0, ["late"])
            await asyncio.sleep(BOTH_ARE_FETCHED)
            self.settings = None  # type: ignore[assignment]
        return await super().poll(timeout_ms)


async def publish(settings: KafkaSettings, topic: str, partition: int, values: list[str]) -> None:
    client = producer(settings)
    await client.start()
    try:
        for value in values:
            await client.send_and_wait(topic, value.encode(), partition=partition)
    finally:
        await client.stop()


async def given(reader: TopicReader) -> list[str]:
    return sorted([record.value.decode() async for record in reader.until_now()])


async def test_records_published_after_the_ends_were_read_come_with_the_next_call(servers: Servers) -> None:
    settings = servers.settings(WorkerSettings, "kafka", TOPIC_PREFIX=f"r{uuid.uuid4().hex[:10]}.")
    settings.kafka.partitions = 2
    await apply_topics(settings, [])
    topic = settings.topics.receipts
    await publish(settings.kafka, topic, 1, ["early"])
    async with open_topics(settings.kafka, [topic]) as reader:
        reader.__class__ = Late
        assert isinstance(reader, Late)
        reader.settings, reader.topic = settings.kafka, topic
        assert await given(reader) == ["early"]
        assert await given(reader) == ["late"]
        assert await given(reader) == []
