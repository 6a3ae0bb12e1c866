"""Vectors of two models, or of two sizes, never mix."""

from collections.abc import Callable
from typing import Any

import pytest
from qdrant_client import AsyncQdrantClient, models

from headrace_clients.qdrant import VECTOR, collection_of
from headrace_clients.qdrant_collections import WrongCollection
from headrace_qdrant.settings import QdrantWorkerSettings
from headrace_qdrant.stage import QdrantStage
from headrace_qdrant.store import QdrantStore
from headrace_schemas.topics import SOURCE_NAMES
from headrace_worker.stage import Applied, Rejected
from headrace_worker.store import Query

MakeChange = Callable[..., Any]


async def test_a_wrong_vector_is_rejected_with_its_cause_and_the_others_are_applied(
    stage: QdrantStage, store: QdrantStore, settings: QdrantWorkerSettings, upsert: MakeChange, embed: Any
) -> None:
    zeros = [0.0] * settings.dimension
    wrong = {
        "other model": ("wrong_model", embed("x", model="other")),
        "too short": ("wrong_vector", embed("x", values=zeros[1:])),
        "too long": ("wrong_vector", embed("x", values=[*zeros, 0.0])),
        "not a number": ("wrong_vector", embed("x", values=[float("nan"), *zeros[1:]])),
        "infinite": ("wrong_vector", embed("x", values=[float("-inf"), *zeros[1:]])),
    }
    changes = [upsert(id, 1, embedding=embedding) for id, (_, embedding) in wrong.items()]
    changes += [upsert(f"good {number}", 1) for number in range(300)]
    outcomes = await stage.apply(changes)
    assert [outcome.reason for outcome in outcomes if isinstance(outcome, Rejected)] == [
        reason for reason, _ in wrong.values()
    ]
    assert outcomes[len(wrong) :] == [Applied()] * 300
    stored = [entity.id async for entity in store.scan("product")]
    assert sorted(stored) == sorted(f"good {number}" for number in range(300))


async def test_rejections_of_one_cause_are_one_group(
    stage: QdrantStage, settings: QdrantWorkerSettings, upsert: MakeChange, embed: Any
) -> None:
    short, long = (upsert(str(size), 1, embedding=embed("x", values=[0.0] * size)) for size in (1, 99))
    causes = {outcome.cause for outcome in await stage.apply([short, long]) if isinstance(outcome, Rejected)}
    assert causes == {("qdrant", "dimension")}


async def test_a_search_is_refused_if_the_alias_points_to_another_model(
    client: AsyncQdrantClient, store: QdrantStore, settings: QdrantWorkerSettings, vector: Callable[[str], list[float]]
) -> None:
    other = settings.model_copy(update={"model": f"{settings.model}-next"})
    next_store = QdrantStore(client, other)
    try:
        await next_store.prepare()
        with pytest.raises(WrongCollection, match=settings.model):
            await next_store.search(Query("text", vector=vector("text")))
        assert await store.search(Query("text", vector=vector("text"))) == []
    finally:
        for kind in SOURCE_NAMES:
            await client.delete_collection(collection_of(kind, other.names))


async def test_prepare_refuses_a_collection_of_another_size(
    client: AsyncQdrantClient, settings: QdrantWorkerSettings
) -> None:
    size = settings.dimension + 1
    params = {VECTOR: models.VectorParams(size=size, distance=models.Distance.COSINE)}
    await client.create_collection(collection_of("keyword", settings.names), vectors_config=params)
    with pytest.raises(WrongCollection, match=f"{size} dimensions"):
        await QdrantStore(client, settings).prepare()
