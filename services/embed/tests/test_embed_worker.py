"""The worker on a real broker, with its model on a real Triton that is stopped."""

import json
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from harness.live_workers import running
from harness.records import delete, eventually, product, publish, read_all, receipts
from harness.servers import Servers

from headrace_cli.kafka_topics import apply_topics
from headrace_embed.app import worker
from headrace_embed.settings import EmbedSettings
from headrace_embed.triton_repository import write_repository
from headrace_local.stack import Stack

MODEL = "minilm-l6-v2"


@pytest.fixture
def triton(tmp_path: Path) -> Iterator[Stack]:
    repository = write_repository(tmp_path / "repository", "python", threads=2)
    stack = Stack(tmp_path / "stack", services=["triton"], triton_repository=repository)
    yield stack
    stack.down()


async def made(servers: Servers, tmp_path: Path, **variables: str) -> EmbedSettings:
    settings = servers.settings(
        EmbedSettings,
        "kafka",
        TOPIC_PREFIX=f"t{uuid.uuid4().hex[:8]}.",
        CACHE_DIR=str(tmp_path / "cache"),
        BATCH__BACKOFF_MAX="1",
        # If a poll ends among the records of a test, those of the next poll wait so long for those of the first.
        BATCH__GIVE_BACK_AFTER="10",
        **variables,
    )
    await apply_topics(settings, ["embed"])
    return settings


async def embedded(settings: EmbedSettings) -> dict[tuple[str, int], dict[str, Any]]:
    """The embedded products on the topic, by id and version."""
    records = [
        json.loads(record.value) for record in await read_all(settings, settings.topics.embedded("product", MODEL))
    ]
    return {(record["product_id"], record["version"]): record for record in records}


async def test_an_embedding_service_that_is_down_delays_only_new_texts(
    servers: Servers, triton: Stack, tmp_path: Path
) -> None:
    url = triton.up()["HEADRACE_TRITON__URL"]
    settings = await made(servers, tmp_path, EMBEDDER="triton", TRITON__URL=url, TRITON__DEADLINE="5")
    source = settings.topics.source("product")
    async with running(worker, settings):
        await publish(settings, source, [product(f"p{number}", 1, title=f"Bag {number}") for number in range(20)])
        await eventually(lambda: _has(settings, 20), within=60)

        triton.kill("triton")
        changes = [product(f"p{number}", 2, title=f"Bag {number}", price=5) for number in range(10)]
        changes += [delete(f"p{number}", 2) for number in range(10, 15)]
        changes += [product(f"p{number}", 2, title=f"Shoe {number}") for number in range(15, 20)]
        await publish(settings, source, changes)
        await eventually(lambda: _has(settings, 35), within=60)
        waiting = {(f"p{number}", 2) for number in range(15, 20)}
        assert not waiting & (await embedded(settings)).keys()

        triton.start("triton")
        await eventually(lambda: _has(settings, 40), within=120)
    assert waiting <= (await embedded(settings)).keys()
    reported = await receipts(settings, "embed")
    assert len(reported) == 40
    assert {receipt.outcome for receipt in reported.values()} == {"applied"}
    assert await read_all(settings, settings.topics.dead("embed")) == []


async def _has(settings: EmbedSettings, count: int) -> bool:
    return len(await embedded(settings)) >= count


async def test_a_restarted_worker_applies_a_price_change_without_its_model(servers: Servers, tmp_path: Path) -> None:
    first = await made(servers, tmp_path)
    source = first.topics.source("product")
    async with running(worker, first):
        await publish(first, source, [product("p1", 1, title="Red bag", price=1)])
        await eventually(lambda: _has(first, 1), within=60)
    triton = first.triton.model_copy(update={"url": "127.0.0.1:1"})
    without_model = first.model_copy(update={"embedder": "triton", "triton": triton})
    async with running(worker, without_model):
        await publish(first, source, [product("p1", 2, title="Red bag", price=2)])
        await eventually(lambda: _has(first, 2), within=60)
    found = await embedded(first)
    assert found["p1", 2]["embedding"] == found["p1", 1]["embedding"]
