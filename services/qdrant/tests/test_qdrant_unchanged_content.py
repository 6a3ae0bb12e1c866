"""A change that does not change the text, such as a new price, does not write the vector."""

from collections.abc import Callable
from typing import Any

import pytest
from qdrant_client import AsyncQdrantClient

from headrace_clients.qdrant import VECTOR, collection_of, point_id
from headrace_qdrant.settings import QdrantWorkerSettings
from headrace_qdrant.stage import QdrantStage
from headrace_qdrant.store import QdrantStore
from headrace_schemas.fields import MAX_VERSION
from headrace_worker.stage import Applied

MakeChange = Callable[..., Any]


async def test_a_price_change_does_not_write_the_vector(
    client: AsyncQdrantClient, stage: QdrantStage, settings: QdrantWorkerSettings, upsert: MakeChange, embed: Any,
    vector: Callable[[str], list[float]],
) -> None:  # fmt: skip
    await stage.apply([upsert("a", 1, "text", price=1)])
    # Another vector for the same text shows whether the stage writes it.
    other = embed("text", values=[1.0] + [0.0] * (settings.dimension - 1))
    outcomes = [*await stage.apply([upsert("a", 2, "text", price=2, embedding=other)])]
    outcomes += await stage.apply([upsert("a", 2, "text", price=2, embedding=other)])
    assert outcomes == [Applied(), Applied()]
    assert [outcome.without_work for outcome in outcomes if isinstance(outcome, Applied)] == [False, True]
    (point,) = await client.retrieve(collection_of("product", settings.names), [point_id("a")], with_vectors=True)
    assert point.payload is not None
    assert (point.payload["price"], point.payload["version"]) == (2, 2)
    assert isinstance(point.vector, dict)
    assert point.vector[VECTOR] == pytest.approx(vector("text"), abs=1e-6)


async def test_fields_that_became_null_or_lost_a_part_are_removed(
    stage: QdrantStage, store: QdrantStore, upsert: MakeChange
) -> None:
    before = upsert("a", 1, "text", price=1, brand="brand", attributes={"colour": "red", "size": {"eu": 40}})
    after = upsert("a", MAX_VERSION, "text", currency="EUR", attributes={"size": {"uk": 6, "none": None}})
    for change in (before, after):
        assert await stage.apply([change]) == [Applied()]
    stored = (await store.get("product", ["a"]))["a"]
    assert stored.fields == {name: value for name, value in after.fields().items() if value is not None}
    assert (stored.version, stored.content_hash) == (MAX_VERSION, after.embedding.content_hash)
    assert (stored.model, stored.deleted) == (after.embedding.model, False)


async def test_many_price_changes_among_other_changes_are_each_applied(
    stage: QdrantStage, store: QdrantStore, upsert: MakeChange, delete: MakeChange
) -> None:
    await stage.apply([upsert(f"p{number}", number + 1, f"text {number}") for number in range(300)])
    changes = [upsert(f"p{number}", number + 2, f"text {number}", price=number) for number in range(0, 300, 3)]
    changes += [upsert(f"p{number}", number + 2, f"new text {number}", price=number) for number in range(1, 300, 3)]
    changes += [delete(f"p{number}", number + 2) for number in range(2, 300, 3)]
    assert set(await stage.apply(changes)) == {Applied()}
    stored = await store.get("product", [change.id for change in changes])
    assert {id: (entity.version, entity.deleted, entity.fields.get("price")) for id, entity in stored.items()} == {
        change.id: (change.version, change.deleted, change.price) for change in changes
    }
