"""The running link worker: it reads receipts from Kafka and publishes link sets, and a kill loses nothing."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete
from harness.linking import Linking
from harness.live_workers import running
from harness.processes import WorkerProcess
from harness.records import eventually, read_all, receipts
from harness.servers import Servers

from headrace_clients.kafka import client_options, producer
from headrace_link.app import worker
from headrace_schemas import headers
from headrace_schemas.receipts import Receipts

pytestmark = pytest.mark.servers


@pytest_asyncio.fixture
async def linking(servers: Servers) -> AsyncIterator[Linking]:
    made = Linking(servers)
    await made.open()
    yield made
    await made.close()


async def report(linking: Linking, *values: bytes) -> None:
    """Publishes the pending receipts, after these values."""
    about = Receipts(worker="qdrant", applied_at=datetime.now(UTC), receipts=linking.take_receipts())
    client = producer(linking.settings.kafka)
    await client.start()
    try:
        for value in (*values, about.model_dump_json().encode()):
            await client.send_and_wait(linking.settings.topics.receipts, value)
    finally:
        await client.stop()


async def is_linked(linking: Linking, product_id: str, keywords: list[str]) -> bool:
    return await linking.linked(product_id) == keywords


async def test_receipts_become_link_sets_and_every_request_is_accounted_for(linking: Linking) -> None:
    settings = linking.settings
    await linking.put("product", "p", (1, 0, 0, 0))
    async with running(worker, settings):
        await report(linking)
        await eventually(lambda: is_linked(linking, "p", []))
        await linking.put("keyword", "k", (1, 0, 0, 0))
        await report(linking)
        await eventually(lambda: is_linked(linking, "p", ["k"]))
        await eventually(lambda: _accounted(linking, 2))
    found = await receipts(settings, "link")
    assert {(topic, found[topic, partition, offset].kind) for topic, partition, offset in found} == {
        (settings.topics.relink, "relink")
    }
    await linking.check()


async def _accounted(linking: Linking, requests: int) -> bool:
    asked = await read_all(linking.settings, linking.settings.topics.relink)
    return len(asked) == len(await receipts(linking.settings, "link")) == requests


async def test_receipts_that_cannot_be_read_are_a_dead_letter_and_block_no_others(linking: Linking) -> None:
    await linking.put("product", "p", (1, 0, 0, 0))
    async with running(worker, linking.settings):
        await report(linking, b"{nope", json.dumps({"worker": "qdrant"}).encode())
        await eventually(lambda: is_linked(linking, "p", []))
        await eventually(lambda: _dead(linking, 2))
    letters = await read_all(linking.settings, linking.settings.topics.dead("link"))
    assert sorted(dict(letter.headers)[headers.DEAD_REASON] for letter in letters) == [b"invalid", b"not_json"]


async def _dead(linking: Linking, letters: int) -> bool:
    return len(await read_all(linking.settings, linking.settings.topics.dead("link"))) == letters


async def test_the_receipts_of_other_workers_cause_no_request(linking: Linking) -> None:
    await linking.put("product", "p", (1, 0, 0, 0))
    about = Receipts(worker="pgvector", applied_at=datetime.now(UTC), receipts=linking.take_receipts())
    async with running(worker, linking.settings):
        await linking.put("product", "q", (1, 0, 0, 0))
        await report(linking, about.model_dump_json().encode())
        await eventually(lambda: is_linked(linking, "q", []))
    assert set(await linking.published()) == {"q"}


async def test_receipts_that_expired_unread_cause_a_sweep(linking: Linking) -> None:
    settings = linking.settings
    await linking.put("product", "p", (1, 0, 0, 0))
    async with running(worker, settings):
        await report(linking)
        await eventually(lambda: is_linked(linking, "p", []))
    await linking.put("product", "unheard", (1, 0, 0, 0))
    await report(linking)
    admin = AIOKafkaAdminClient(**client_options(settings.kafka))
    await admin.start()
    ends = len(await read_all(settings, settings.topics.receipts))
    await admin.delete_records({TopicPartition(settings.topics.receipts, 0): RecordsToDelete(before_offset=ends)})
    await admin.close()
    async with running(worker, settings):
        await eventually(lambda: is_linked(linking, "unheard", []))
    await linking.check()


@pytest.mark.parametrize("kills", [2, pytest.param(4, marks=pytest.mark.long)])
async def test_a_sweep_survives_kill_9(servers: Servers, linking: Linking, tmp_path: Path, kills: int) -> None:
    """The worker is killed several times while it sweeps and links."""
    vectors = {f"p{number}": (1.0, number / 1000, 0.0, 0.0) for number in range(1500)}
    await linking.put_many("product", vectors)
    await linking.drain()
    await linking.lose_receipts(linking.put("keyword", "k", (1, 0.3, 0, 0)))
    await linking.sweep()
    process = WorkerProcess("link", dict(servers.need()) | _variables(linking), tmp_path)
    try:
        for _ in range(kills):
            process.start()
            seen = process.count("products_linked")
            await asyncio.to_thread(process.wait_for, "products_linked", more_than=seen)
            process.kill()
        process.start()
        await eventually(lambda: _all_linked(linking, len(vectors)), within=120)
        await eventually(lambda: _settled(linking), within=60)
        assert process.stop() == 0
    finally:
        process.end()
    await linking.check()


async def _all_linked(linking: Linking, products: int) -> bool:
    sets = await linking.published()
    return sum([link.keyword_id for link in links.links] == ["k"] for links in sets.values()) == products


async def _settled(linking: Linking) -> bool:
    topics = linking.settings.topics
    asked = [one for topic in (topics.relink, topics.relink_bulk) for one in await read_all(linking.settings, topic)]
    reported = await receipts(linking.settings, "link")
    # The requests that the test itself has handled have no receipts.
    return all(
        (record.topic, record.partition, record.offset) in reported for record in asked[linking.consumer.committed :]
    )


def _variables(linking: Linking) -> dict[str, str]:
    settings: Any = linking.settings
    own = {
        "TOPIC_PREFIX": settings.topic_prefix,
        "MODEL": settings.model,
        "DIMENSION": str(settings.dimension),
        "LINK__K": str(settings.link.k),
        "LINK__SWEEP_WAIT": "0",
        "KAFKA__PARTITIONS": str(settings.kafka.partitions),
        "KAFKA__SESSION_TIMEOUT": "6",
    }
    return {f"HEADRACE_{name}": value for name, value in own.items()}
