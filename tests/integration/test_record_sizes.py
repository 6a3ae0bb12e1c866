"""Records that a broker takes compressed and that are large when unpacked, on a real broker."""

import asyncio
import json
import os
import secrets
import subprocess
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from harness.live_workers import has_problem, running
from harness.memory import MemoryStage, memory_worker
from harness.records import eventually, product, publish, read_all, receipts

from headrace_cli.kafka_topics import apply_topics
from headrace_clients.kafka import client_options
from headrace_letters.installed_stores import open_installed_stores
from headrace_letters.letter import read_letter
from headrace_letters.letter_reader import open_letter_reader
from headrace_letters.prediction import refusal
from headrace_runtime.decoder import position
from headrace_schemas import headers
from headrace_worker.settings import WorkerSettings
from headrace_worker.stage import Applied, Outcome, Output

pytestmark = pytest.mark.servers

NAME = "elasticsearch"
"""A worker that reads the source topics, as the stage in memory does."""
LIMIT = 100_000
COMPRESSED: dict[str, Any] = {"compression_type": "gzip", "max_request_size": 2**26}


@pytest.fixture
async def limited(settings: WorkerSettings) -> WorkerSettings:
    """Settings with a small limit; the topics were created with the default, 1 MiB."""
    await apply_topics(settings, [NAME])
    settings.kafka.max_record_bytes = LIMIT
    settings.batch.max_bytes = 2**20
    return settings


async def test_each_record_that_is_too_large_is_one_dead_letter_and_the_others_are_applied(
    limited: WorkerSettings,
) -> None:
    topic, dead = limited.topics.source("product"), limited.topics.dead(NAME)
    rows = [product(f"p{n}", 1) for n in range(20)]
    rows[5:5] = [product("twice", 1, description="d" * 150_000), product("far", 1, description="d" * 5_000_000)]
    await publish(limited, topic, rows, **COMPRESSED)
    await publish(limited, topic, [product("headers", 1)], headers=[("x", b"x" * 150_000)], **COMPRESSED)
    stage = MemoryStage()
    async with running(memory_worker(stage, NAME), limited) as application:
        await eventually(lambda: _settled(limited, 23))
        assert not await has_problem(application, "held")
    assert sorted(stage.versions()) == sorted(f"p{n}" for n in range(20))
    letters = {record.key.decode(): record for record in await read_all(limited, dead)}
    assert sorted(letters) == ["far", "headers", "twice"]
    reasons = [[value for name, value in one.headers if name == headers.DEAD_REASON] for one in letters.values()]
    assert reasons == [[b"too_large"]] * 3
    assert len(letters["twice"].value) > 150_000
    assert letters["far"].value is None

    # The value of the largest lies in its source topic: it is read there as soon as the settings allow it.
    read = read_letter(letters["far"], limited.topics)
    for limit, found in ((LIMIT, None), (4_000_000, 5_000_000)):
        limited.kafka.max_record_bytes = limit
        async with open_letter_reader(limited.kafka) as reader, open_installed_stores(lambda _: limited) as stores:
            ((_, again),) = [pair async for pair in reader.read([position(letters["far"])])]
            assert again is not None
            assert (again.value is None) == (found is None)
            refused = refusal(read, again, stores, datetime.now(UTC))
            assert (refused is None) == (found is not None)
            if refused is not None:
                assert refused.outcome == "omitted"
                assert "-".join(map(str, read.failed or ())) in refused.detail


async def _settled(settings: WorkerSettings, count: int, worker: str = NAME) -> bool:
    return len(await receipts(settings, worker)) == count


async def test_topics_that_accept_less_than_the_settings_stop_no_record(settings: WorkerSettings) -> None:
    """The dead letter, the receipts and the output of a record are too large for their topics."""
    output, dead = settings.topics.product_links, settings.topics.dead("memory")
    await _limit(settings, {output: 5000, dead: 5000, settings.topics.receipts: 3000})
    large = [product("large", 1, description=secrets.token_hex(10_000)), secrets.token_hex(10_000).encode()]
    rows = [product(f"p{n}", 1) for n in range(60)]
    await publish(settings, settings.topics.source("product"), [*rows[:30], *large, *rows[30:]])

    class Publishing(MemoryStage):
        def apply_one(self, change: Any) -> Outcome:
            super().apply_one(change)
            return Applied((Output(output, change.id.encode(), (change.description or "").encode()),))

    async with running(memory_worker(Publishing()), settings):
        await eventually(lambda: _settled(settings, 62, "memory"))
    assert sorted(record.key.decode() for record in await read_all(settings, output)) == sorted(
        f"p{n}" for n in range(60)
    )
    letters = {record.key.decode(): dict(record.headers) for record in await read_all(settings, dead)}
    assert {key: own[headers.DEAD_REASON] for key, own in letters.items()} == {
        "large": b"too_large", "raw": b"not_json"
    }  # fmt: skip
    assert letters["raw"][headers.DEAD_VALUE_OMITTED] == b"20000"
    assert f"{output} accepts no batch of more than 5000 bytes" in letters["large"][headers.CONNECT_MESSAGE].decode()


async def _limit(settings: WorkerSettings, limits: Mapping[str, int]) -> None:
    admin = AIOKafkaAdminClient(**client_options(settings.kafka))
    await admin.start()
    changed = [
        ConfigResource(ConfigResourceType.TOPIC, topic, configs={"max.message.bytes": str(limit)})
        for topic, limit in limits.items()
    ]
    try:
        await admin.alter_configs(changed)
    finally:
        await admin.close()


async def test_publish_names_the_limit_of_a_smaller_topic_and_publishes_the_other_rows(
    settings: WorkerSettings, tmp_path: Path
) -> None:
    topic = settings.topics.source("product")
    await _limit(settings, {topic: 20_000})
    rows = [product(f"p{n}", 1, description=secrets.token_hex(5000 if n % 10 else 10)) for n in range(50)]
    rows[20]["description"] = secrets.token_hex(30_000)
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    environment = os.environ | {
        "HEADRACE_KAFKA__BOOTSTRAP_SERVERS": settings.kafka.bootstrap_servers,
        "HEADRACE_TOPIC_PREFIX": settings.topic_prefix,
    }
    command = [sys.executable, "-m", "headrace_cli", "publish", str(tmp_path / "rows.jsonl"), "--kind", "product"]
    done = await asyncio.to_thread(
        subprocess.run, command, env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 1
    assert "rows.jsonl:21: makes a record of" in done.stdout + done.stderr
    assert "the topic accepts 20000" in done.stdout + done.stderr
    assert len(await read_all(settings, topic)) == 49


async def test_a_poll_is_limited_by_its_unpacked_bytes(limited: WorkerSettings) -> None:
    rows = [product(f"p{n}", 1, description="d" * (90_000 if n % 2 else 10)) for n in range(100)]
    await publish(limited, limited.topics.source("product"), rows, **COMPRESSED)
    stage = MemoryStage()
    async with running(memory_worker(stage, NAME), limited):
        await eventually(lambda: len(stage.stored) == 100)
    sizes = [sum(len(change.description) for change in batch) for batch in stage.batches]
    assert max(sizes) <= 2**20
    assert max(sizes) > 2**19
