"""A reader of topics gives the records below the ends that were noted, and each record once."""

import uuid
from collections.abc import Mapping
from typing import Any

import pytest
from harness.records import product, publish
from harness.servers import Servers

from headrace_cli.kafka_topics import apply_topics
from headrace_verify.source_reader import SourceReader, open_source
from headrace_worker.settings import WorkerSettings

pytestmark = pytest.mark.servers


async def read(reader: SourceReader, ends: Mapping[Any, int]) -> list[str]:
    return sorted([record.key.decode() async for records in reader.records(ends) for record in records])


async def test_a_record_beyond_the_ends_that_were_noted_comes_with_the_next_ends(servers: Servers) -> None:
    settings = servers.settings(WorkerSettings, "kafka", TOPIC_PREFIX=f"v{uuid.uuid4().hex[:10]}.")
    await apply_topics(settings, [])
    topic = settings.topics.source("product")
    before, after = [f"a-{n:02}" for n in range(20)], [f"b-{n:02}" for n in range(20)]
    await publish(settings, topic, [product(id, 1) for id in before])
    async with open_source(settings.kafka, [topic]) as reader:
        noted = await reader.ends()
        await publish(settings, topic, [product(id, 1) for id in after])
        assert await reader.left(noted) == 20
        assert await read(reader, noted) == before
        assert await reader.left(noted) == 0
        assert await read(reader, await reader.ends()) == after
        assert await read(reader, await reader.ends()) == []
