"""A paused worker keeps its partitions and takes no record, in every copy and after a restart, until it is resumed."""

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest
from aiokafka.admin import AIOKafkaAdminClient
from harness.live_workers import has_problem, most, readiness, running
from harness.memory import MemoryStage, memory_worker
from harness.records import eventually, product, publish

from headrace_clients.consumer_groups import committed_offsets
from headrace_clients.kafka import client_options, producer
from headrace_schemas.pauses import Pause
from headrace_worker.settings import WorkerSettings

pytestmark = pytest.mark.servers

AT = datetime(2026, 3, 1, 9, 30, tzinfo=UTC)


async def test_a_paused_worker_takes_no_record_in_any_copy_until_it_is_resumed(settings: WorkerSettings) -> None:
    products = settings.topics.source("product")
    first, second = MemoryStage(), MemoryStage()
    async with running(memory_worker(first), settings) as one:
        await publish(settings, products, [product("a", 1)])
        await eventually(lambda: first.versions() == {"a": 1})
        await change(settings, paused=True)
        await eventually(lambda: has_problem(one, "memory is paused since "))
        await publish(settings, products, [product(f"p{n}", 1) for n in range(20)])
        # A copy that starts later is paused before its first poll.
        async with running(memory_worker(second), settings) as two:
            await eventually(lambda: _assigned(one, two))
            await asyncio.sleep(2)
            assert (first.versions(), second.versions()) == ({"a": 1}, {})
            for application in (one, two):
                report = await readiness(application)
                assert report["assigned_partitions"] > 0
                assert [(detail["kind"], detail["subject"]) for detail in report["details"]] == [("paused", "memory")]
                assert "by on-call at " in report["problems"][0]
                assert report["problems"][0].endswith(": the schema changes")
                assert await most(application, "headrace_problem", kind="paused", subject="memory") == 1
            await change(settings, paused=False)
            await eventually(lambda: len(first.versions() | second.versions()) == 21)
            assert (await readiness(one))["problems"] == (await readiness(two))["problems"] == []
    assert await _committed(settings, products) == 21


async def _assigned(*applications: Any) -> bool:
    return all([(await readiness(one))["assigned_partitions"] for one in applications])


async def change(settings: WorkerSettings, *, paused: bool) -> None:
    """Another worker gets the opposite."""
    async with producer(settings.kafka) as client:
        for worker, one in (("memory", paused), ("memory2", not paused)):
            record = Pause(worker=worker, paused=one, actor="on-call", reason="the schema changes", at=AT)
            await client.send_and_wait(settings.topics.pauses, record.model_dump_json().encode(), worker.encode())


async def _committed(settings: WorkerSettings, topic: str) -> int:
    admin = AIOKafkaAdminClient(**client_options(settings.kafka))
    await admin.start()
    try:
        offsets = await committed_offsets(admin, f"{settings.topic_prefix}memory")
    finally:
        await admin.close()
    return sum(offset for partition, offset in offsets.items() if partition.topic == topic)
