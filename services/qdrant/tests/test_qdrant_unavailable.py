"""A server that is down, silent or not prepared is unavailable, and no change becomes a dead letter."""

from collections.abc import Callable
from typing import Any

import pytest
from qdrant_client import AsyncQdrantClient

from headrace_clients.qdrant import collection_of
from headrace_local.stack import Stack
from headrace_qdrant.settings import QdrantWorkerSettings
from headrace_qdrant.stage import QdrantStage, open_stage
from headrace_qdrant.store import QdrantStore, open_store
from headrace_worker.stage import Applied, Unavailable

MakeChange = Callable[..., Any]


async def test_a_killed_server_is_unavailable_and_has_lost_nothing_when_it_is_back(
    qdrant_stack: Stack, stage: QdrantStage, store: QdrantStore, upsert: MakeChange, delete: MakeChange
) -> None:
    before, after = upsert("a", 5), upsert("b", 5)
    assert await stage.apply([before, delete("c", 5)]) == [Applied(), Applied()]
    qdrant_stack.kill("qdrant")
    try:
        with pytest.raises(Unavailable, match="qdrant"):
            await stage.apply([after])
        with pytest.raises(Unavailable):
            await stage.check()
        with pytest.raises(Unavailable):
            await store.get("product", ["a"])
    finally:
        qdrant_stack.start("qdrant")
    await stage.check()
    assert await stage.apply([after, upsert("d", 1)]) == [Applied(), Applied()]
    stored = await store.get("product", ["a", "b", "c", "d"])
    assert {id: entity.version for id, entity in stored.items()} == {"a": 5, "b": 5, "c": 5, "d": 1}


async def test_a_silent_server_is_unavailable_once_the_time_is_up(
    qdrant_stack: Stack, store: QdrantStore, settings: QdrantWorkerSettings, upsert: MakeChange
) -> None:
    hasty = settings.model_copy(update={"qdrant": settings.qdrant.model_copy(update={"timeout": 1})})
    async with open_stage(hasty) as stage:
        await stage.check()
        qdrant_stack.pause("qdrant")
        try:
            with pytest.raises(Unavailable):
                await stage.apply([upsert("a", 1)])
        finally:
            qdrant_stack.resume("qdrant")
        assert await stage.apply([upsert("a", 1)]) == [Applied()]


async def test_a_stage_opens_before_its_server_and_names_the_missing_collection(
    client: AsyncQdrantClient, settings: QdrantWorkerSettings, upsert: MakeChange
) -> None:
    async with open_stage(settings) as stage:
        with pytest.raises(Unavailable, match="stores apply"):
            await stage.check()
        with pytest.raises(Unavailable, match="stores apply"):
            await stage.apply([upsert("a", 1)])
        store = open_store(settings)
        await store.prepare()
        await store.close()
        assert await stage.apply([upsert("a", 1)]) == [Applied()]


async def test_a_part_of_a_batch_is_applied_while_the_other_waits(
    client: AsyncQdrantClient,
    stage: QdrantStage,
    store: QdrantStore,
    settings: QdrantWorkerSettings,
    upsert: MakeChange,
) -> None:
    await stage.check()
    await client.delete_collection(collection_of("keyword", settings.names))
    product, keyword = upsert("a", 1), upsert("k", 1, kind="keyword")
    applied, waiting = await stage.apply([product, keyword])
    assert applied == Applied()
    assert isinstance(waiting, Unavailable)
    assert not waiting.suspect
