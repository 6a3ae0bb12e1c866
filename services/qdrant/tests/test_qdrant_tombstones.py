"""A delete leaves a point that stores its version, and neither text nor vector."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

from qdrant_client import AsyncQdrantClient

from headrace_clients.qdrant import VECTOR, collection_of, point_id
from headrace_qdrant.settings import QdrantWorkerSettings
from headrace_qdrant.stage import QdrantStage
from headrace_qdrant.store import QdrantStore
from headrace_worker.stage import Applied
from headrace_worker.store import Query

MakeChange = Callable[..., Any]


async def test_a_tombstone_has_neither_vector_nor_text(
    client: AsyncQdrantClient,
    stage: QdrantStage,
    settings: QdrantWorkerSettings,
    upsert: MakeChange,
    delete: MakeChange,
) -> None:
    collection = collection_of("product", settings.names)
    await stage.apply([upsert("a", 1, "secret text", brand="brand")])
    (before,) = await client.retrieve(collection, [point_id("a")], with_vectors=True)
    assert before.vector
    assert await stage.apply([delete("a", 2), delete("never seen", 2)]) == [Applied(), Applied()]
    for id in ("a", "never seen"):
        (after,) = await client.retrieve(collection, [point_id(id)], with_vectors=True)
        assert not after.vector
        payload = after.payload or {}
        assert datetime.fromisoformat(payload.pop("deleted_at")).tzinfo is not None
        assert payload == {"product_id": id, "deleted": True, "version": 2, "version_hi": 0, "version_lo": 2}


async def test_no_vector_search_finds_a_tombstone_with_or_without_the_filter(
    client: AsyncQdrantClient, stage: QdrantStage, store: QdrantStore, settings: QdrantWorkerSettings,
    upsert: MakeChange, delete: MakeChange, vector: Callable[[str], list[float]],
) -> None:  # fmt: skip
    await stage.apply([upsert("a", 1, "text"), upsert("b", 1, "text"), delete("c", 1)])
    query = Query("text", vector=vector("text"))
    assert {hit.id for hit in await store.search(query)} == {"a", "b"}
    await stage.apply([delete("a", 2)])
    assert [hit.id for hit in await store.search(query)] == ["b"]
    unfiltered = await client.query_points(
        collection_of("product", settings.names), query=vector("text"), using=VECTOR, limit=10
    )
    assert [point.id for point in unfiltered.points] == [point_id("b")]


async def test_an_entity_created_again_has_the_new_vector_and_no_field_of_the_tombstone(
    client: AsyncQdrantClient, stage: QdrantStage, store: QdrantStore, settings: QdrantWorkerSettings,
    upsert: MakeChange, delete: MakeChange, vector: Callable[[str], list[float]],
) -> None:  # fmt: skip
    for change in (upsert("a", 1, "text"), delete("a", 2), upsert("a", 3, "text")):
        assert await stage.apply([change]) == [Applied()]
    (hit,) = await store.search(Query("text", vector=vector("text")))
    assert hit.score > 0.999
    (point,) = await client.retrieve(collection_of("product", settings.names), [point_id("a")])
    assert point.payload is not None
    assert "deleted_at" not in point.payload
