"""`stores apply` creates and reports what is missing. It can be repeated, and two can run at once."""

import asyncio
from collections.abc import Callable
from typing import Any

from qdrant_client import AsyncQdrantClient

from headrace_clients.qdrant import collection_of
from headrace_clients.qdrant_collections import aliased_collection
from headrace_qdrant.settings import QdrantWorkerSettings
from headrace_qdrant.stage import QdrantStage
from headrace_qdrant.store import QdrantStore
from headrace_schemas.topics import SOURCE_NAMES
from headrace_worker.stage import Applied


async def test_the_first_run_creates_everything_and_the_second_nothing(
    client: AsyncQdrantClient, settings: QdrantWorkerSettings, upsert: Callable[..., Any]
) -> None:
    store = QdrantStore(client, settings)
    made = await store.prepare()
    for kind in SOURCE_NAMES:
        collection = collection_of(kind, settings.names)
        assert await aliased_collection(client, SOURCE_NAMES[kind]) == collection
        info = await client.get_collection(collection)
        assert set(info.payload_schema) == {"deleted", f"{kind}_id"}
        assert sum(collection in line for line in made) == 5
    change = upsert("a", 1)
    await QdrantStage(client, settings.names).apply([change])
    assert await store.prepare() == []
    assert set(await store.get("product", ["a"])) == {"a"}


async def test_every_replica_has_to_confirm_a_write(client: AsyncQdrantClient, settings: QdrantWorkerSettings) -> None:
    replicated = settings.model_copy(update={"qdrant": settings.qdrant.model_copy(update={"replication_factor": 3})})
    await QdrantStore(client, replicated).prepare()
    for kind in SOURCE_NAMES:
        params = (await client.get_collection(collection_of(kind, settings.names))).config.params
        assert (params.replication_factor, params.write_consistency_factor) == (3, 3)


async def test_two_at_once_both_succeed(client: AsyncQdrantClient, settings: QdrantWorkerSettings) -> None:
    await asyncio.gather(*(QdrantStore(client, settings).prepare() for _ in range(4)))
    assert await QdrantStore(client, settings).prepare() == []


async def test_an_alias_of_another_model_stays_where_it_is(
    client: AsyncQdrantClient, store: QdrantStore, settings: QdrantWorkerSettings
) -> None:
    other = settings.model_copy(update={"model": f"{settings.model}-next"})
    try:
        await QdrantStore(client, other).prepare()
        for kind in SOURCE_NAMES:
            assert await aliased_collection(client, SOURCE_NAMES[kind]) == collection_of(kind, settings.names)
    finally:
        for kind in SOURCE_NAMES:
            await client.delete_collection(collection_of(kind, other.names))


async def test_a_missing_index_is_created_on_a_collection_that_exists(
    client: AsyncQdrantClient, store: QdrantStore, settings: QdrantWorkerSettings
) -> None:
    collection = collection_of("product", settings.names)
    await client.delete_payload_index(collection, "deleted")
    assert await store.prepare() == [f"payload index {collection}.deleted"]


async def test_a_scan_reads_past_one_page(stage: QdrantStage, store: QdrantStore, delete: Callable[..., Any]) -> None:
    changes = [delete(f"k{number}", number + 1, kind="keyword") for number in range(2500)]
    assert set(await stage.apply(changes)) == {Applied()}
    scanned = [entity async for entity in store.scan("keyword")]
    assert {entity.id: entity.version for entity in scanned} == {change.id: change.version for change in changes}
    assert len(scanned) == len(changes)
    stored = await store.get("keyword", [change.id for change in changes])
    assert len(stored) == len(changes)
