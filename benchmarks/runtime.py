"""Compares the runtime, with a stage that does nothing, with a plain loop that decodes and commits the same."""

import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from aiokafka import AIOKafkaConsumer

from benchmarks.measurement import Comparison, compared, worker_rate
from benchmarks.topics import changes, fill, fresh_topics
from headrace_clients.kafka import client_options
from headrace_schemas.changes import ProductChange
from headrace_worker.settings import WorkerSettings
from headrace_worker.stage import Applied
from headrace_worker.worker import Worker


class Nothing:
    """A stage that writes nothing."""

    async def apply(self, changes: Sequence[Any]) -> list[Applied]:
        return [Applied()] * len(changes)

    async def check(self) -> None:
        return None


@asynccontextmanager
async def opened(settings: WorkerSettings) -> AsyncIterator[Nothing]:
    yield Nothing()


async def run(settings: WorkerSettings, records: int) -> list[Comparison]:
    """Both sides read the same topic; each round has its own consumer group."""
    settings = await fresh_topics(settings, "nothing")
    topic = settings.topics.source("product")
    await fill(settings, topic, changes(records, 1, "r"))
    worker = Worker("nothing", WorkerSettings, lambda of: {topic: ProductChange}, opened)

    async def ours(number: int) -> float:
        # A new prefix is a new group; the topic that it reads stays the same.
        return await worker_rate(worker, await fresh_topics(settings, "nothing"), records)

    async def theirs(number: int) -> float:
        consumer = AIOKafkaConsumer(
            topic,
            **client_options(settings.kafka),
            group_id=f"{settings.topic_prefix}raw-{number}",
            auto_offset_reset="earliest",
            enable_auto_commit=False,
        )
        await consumer.start()
        try:
            seen, began = 0, 0.0
            while seen < records:
                polled = await consumer.getmany(timeout_ms=500, max_records=settings.batch.max_records)
                began = began or (time.perf_counter() if polled else 0.0)
                for taken in polled.values():
                    for record in taken:
                        ProductChange.model_validate_json(record.value)
                    seen += len(taken)
                await consumer.commit()
            return records / (time.perf_counter() - began)
        finally:
            await consumer.stop()

    return [await compared("runtime", "hand-written aiokafka loop", 0.7, ours, theirs)]
