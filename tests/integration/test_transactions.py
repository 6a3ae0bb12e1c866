"""Records of transactions: only committed ones are read, and what a transaction leaves on a partition is no lag."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer
from harness.live_workers import readiness, running
from harness.memory import MemoryStage, memory_worker
from harness.records import eventually, product, publish

from headrace_clients.consumer_groups import OpenTransaction, committed_offsets, open_clients, open_transactions, unread
from headrace_clients.kafka import producer
from headrace_clients.topic_reader import open_topics, partitions_of
from headrace_worker.settings import WorkerSettings

pytestmark = pytest.mark.servers


@asynccontextmanager
async def catalogue(settings: WorkerSettings, timeout_ms: int = 60_000) -> AsyncIterator[AIOKafkaProducer]:
    """A transactional producer of the installation's catalogue."""
    client = producer(
        settings.kafka, transactional_id=f"{settings.topic_prefix}catalogue", transaction_timeout_ms=timeout_ms
    )
    await client.start()
    try:
        yield client
    finally:
        await client.stop()


def keyword(keyword_id: str, version: int) -> dict[str, Any]:
    return {
        "op": "upsert",
        "keyword_id": keyword_id,
        "version": version,
        "occurred_at": "2026-03-01T09:30:00Z",
        "text": keyword_id,
    }


async def send(client: AIOKafkaProducer, settings: WorkerSettings, *changes: dict[str, Any]) -> None:
    """Sends changes of products and keywords to partition 0 of their topics, within the transaction."""
    for change in changes:
        kind = "product" if "product_id" in change else "keyword"
        key = str(change.get("product_id") or change.get("keyword_id")).encode()
        await client.send_and_wait(settings.topics.source(kind), json.dumps(change).encode(), key=key, partition=0)


async def lag(settings: WorkerSettings, topics: Iterable[str] | None = None) -> int:
    """How much the worker has not committed of the topics, as `wait` and the console count it."""
    async with open_clients(settings.kafka) as (consumer, admin):
        partitions = await partitions_of(settings.kafka, topics or [settings.topics.source("product")])
        starts, ends = await consumer.beginning_offsets(partitions), await consumer.end_offsets(partitions)
        return sum(unread(starts, ends, await committed_offsets(admin, f"{settings.topic_prefix}memory")).values())


async def caught_up(settings: WorkerSettings) -> bool:
    return await lag(settings, [settings.topics.source("product"), settings.topics.source("keyword")]) == 0


async def test_only_committed_records_are_applied_and_what_a_transaction_leaves_is_no_lag(
    settings: WorkerSettings,
) -> None:
    products = settings.topics.source("product")
    stage = MemoryStage()
    async with catalogue(settings) as client:
        await client.begin_transaction()
        await send(client, settings, product("p1", 1, title="rolled back"), keyword("k1", 1))
        await client.abort_transaction()
        # A group that has never committed, on topics with nothing to read.
        async with running(memory_worker(stage), settings) as application:
            await eventually(lambda: caught_up(settings))
            await client.begin_transaction()
            await send(client, settings, product("p1", 1, title="rolled back again"))
            await publish(settings, products, [product("behind", 1)], partition=0)
            await eventually(lambda: has_note(application, f"{products}-0 has an open transaction", "2 records cannot"))
            assert (await readiness(application))["problems"] == []
            assert await lag(settings) == 0
            assert await open_transactions(settings.kafka, [products]) == [OpenTransaction(products, 0, 2)]
            assert stage.versions() == {}
            await client.abort_transaction()
            await eventually(lambda: stage.versions() == {"behind": 1})
            async with client.transaction():
                await send(client, settings, product("p1", 1, title="the retry"), keyword("k1", 1))
            await eventually(lambda: stage.versions() == {"behind": 1, "p1": 1, "k1": 1})
            await eventually(lambda: caught_up(settings))
            assert (await readiness(application))["notes"] == []
    assert stage.stored["product", "p1"].title == "the retry"
    assert await open_transactions(settings.kafka, [products]) == []


async def has_note(application: Any, *parts: str) -> bool:
    return any(all(part in note for part in parts) for note in (await readiness(application))["notes"])


LEAVES_A_TRANSACTION_OPEN = """
import asyncio, sys
from aiokafka import AIOKafkaProducer

async def main():
    servers, topic, id = sys.argv[1:]
    client = AIOKafkaProducer(bootstrap_servers=servers, transactional_id=id, transaction_timeout_ms=6000)
    await client.start()
    await client.begin_transaction()
    await client.send_and_wait(topic, b"{}", key=b"p1", partition=0)
    print("open", flush=True)
    await asyncio.sleep(60)

asyncio.run(main())
"""


async def test_a_transaction_that_a_killed_producer_leaves_open_ends_with_its_timeout(settings: WorkerSettings) -> None:
    products = settings.topics.source("product")
    arguments = (settings.kafka.bootstrap_servers, products, f"{settings.topic_prefix}killed")
    stage = MemoryStage()
    async with running(memory_worker(stage), settings) as application:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", LEAVES_A_TRANSACTION_OPEN, *arguments, stdout=asyncio.subprocess.PIPE
        )
        assert process.stdout is not None
        assert await process.stdout.readline() == b"open\n"
        process.kill()
        await process.wait()
        await publish(settings, products, [product("behind", 1)], partition=0)
        await eventually(lambda: has_note(application, f"{products}-0 has an open transaction"))
        assert stage.versions() == {}
        await eventually(lambda: stage.versions() == {"behind": 1})
        await eventually(lambda: caught_up(settings))
        assert (await readiness(application))["notes"] == []


async def test_a_reader_of_a_topic_gives_no_aborted_record_and_ends(settings: WorkerSettings) -> None:
    products = settings.topics.source("product")
    async with catalogue(settings) as client:
        async with client.transaction():
            await send(client, settings, product("p1", 1))
        await client.begin_transaction()
        await send(client, settings, product("p2", 1))
        await client.abort_transaction()
        async with open_topics(settings.kafka, [products]) as reader:
            assert [record.key async for record in reader.until_now()] == [b"p1"]
            assert await reader.left() == 0
