"""A topic of which most changes are rejected for one cause is held on a real broker until the cause is removed."""

import asyncio
from collections import Counter

import pytest
from aiokafka.admin import AIOKafkaAdminClient
from harness.live_workers import has_problem, most, readiness, running
from harness.memory import MemoryStage, memory_worker
from harness.records import eventually, keyword, product, publish, read_all, receipts

from headrace_clients.consumer_groups import committed_offsets
from headrace_clients.kafka import client_options
from headrace_runtime import holds
from headrace_runtime.holds import HOLD_PAUSE
from headrace_schemas import headers
from headrace_worker.settings import WorkerSettings

pytestmark = pytest.mark.servers

PRODUCTS = 400


async def test_a_held_topic_publishes_nothing_twice_and_stops_neither_other_topics_nor_replays(
    settings: WorkerSettings,
) -> None:
    products, keywords = settings.topics.source("product"), settings.topics.source("keyword")
    embedded = settings.topics.embedded("product", settings.model)
    stage = MemoryStage()
    stage.outputs = embedded
    stage.reject = {f"p{n}" for n in range(PRODUCTS) if n % 5 > 1}
    await publish(settings, products, [product(f"p{n}", 1) for n in range(PRODUCTS)])
    async with running(memory_worker(stage), settings) as application:
        await eventually(lambda: has_problem(application, f"held: {products} since "))
        before = await published(settings, embedded)
        await publish(settings, keywords, [keyword(f"k{n}", 1) for n in range(30)])
        origin = [(headers.CONNECT_TOPIC, products.encode())]
        await publish(settings, settings.topics.replay("memory"), [product("r1", 1)], headers=origin)
        await eventually(lambda: {("keyword", "k29"), ("product", "r1")} <= stage.stored.keys())
        await eventually(lambda: _committed(settings, keywords, 30))
        await asyncio.sleep(1.4 * HOLD_PAUSE)
        after = await published(settings, embedded)
        assert {key: after[key] for key in before} == before
        assert after.keys() - before.keys() == {f"k{n}" for n in range(30)} | {"r1"}
        details = (await readiness(application))["details"]
        assert [(problem["kind"], problem["subject"]) for problem in details] == [("held topic", products)]
        assert (await most(application, "headrace_lag_seconds", topic=products) or 0) > HOLD_PAUSE
        problem = details[0]
        assert problem["seconds"] > HOLD_PAUSE
        counts, _, words = problem["reason"].partition(": ")
        assert int(counts.removesuffix(" of the last 200 products")) > 100
        assert words == "refused by store: memory, refused"
        assert not await _committed(settings, products, PRODUCTS)
        dead = len(await read_all(settings, settings.topics.dead("memory")))
        stage.reject = set()
        await eventually(lambda: _committed(settings, products, PRODUCTS))
        assert (await readiness(application))["problems"] == []
        assert await most(application, "headrace_lag_seconds") == 0
    assert set((await published(settings, embedded)).values()) == {1}
    found = await receipts(settings, "memory")
    assert sum(receipt.topic == products for receipt in found.values()) == PRODUCTS
    assert len(await read_all(settings, settings.topics.dead("memory"))) == dead < 200


async def test_other_topics_and_replays_are_read_between_two_tries_of_a_held_topic(
    settings: WorkerSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(holds, "HOLD_PAUSE", 600.0)
    products = settings.topics.source("product")
    stage = MemoryStage()
    stage.reject = {f"p{n}" for n in range(PRODUCTS)}
    await publish(settings, products, [product(f"p{n}", 1) for n in range(PRODUCTS)])
    async with running(memory_worker(stage), settings) as application:
        await eventually(lambda: has_problem(application, f"held: {products} since "))
        await publish(settings, settings.topics.source("keyword"), [keyword("k", 1)])
        origin = [(headers.CONNECT_TOPIC, products.encode())]
        await publish(settings, settings.topics.replay("memory"), [product("r", 1)], headers=origin)
        await eventually(lambda: {("keyword", "k"), ("product", "r")} <= stage.stored.keys())
        assert await has_problem(application, f"held: {products} since ")


async def published(settings: WorkerSettings, topic: str) -> Counter[str]:
    """How many records the topic has of each key."""
    return Counter(record.key.decode() for record in await read_all(settings, topic))


async def _committed(settings: WorkerSettings, topic: str, records: int) -> bool:
    admin = AIOKafkaAdminClient(**client_options(settings.kafka))
    await admin.start()
    try:
        offsets = await committed_offsets(admin, f"{settings.topic_prefix}memory")
    finally:
        await admin.close()
    return sum(offset for partition, offset in offsets.items() if partition.topic == topic) == records
