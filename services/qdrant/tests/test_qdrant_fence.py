"""The condition of a write keeps older versions out, whatever the stage read before it."""

import asyncio
import random
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import pytest
from qdrant_client import AsyncQdrantClient, models

from headrace_clients.qdrant import VECTOR, below, collection_of, point_id, version_fields
from headrace_qdrant.points import Seen, set_fields, writes
from headrace_qdrant.settings import QdrantWorkerSettings
from headrace_qdrant.stage import ROUNDS, QdrantStage
from headrace_qdrant.store import QdrantStore
from headrace_schemas.fields import MAX_VERSION
from headrace_worker.stage import Applied, Conflict, Superseded, Unavailable

MakeChange = Callable[..., Any]
EDGES = sorted(
    {edge + step for edge in (2**31, 2**32, 2**53, 2**62) for step in (-1, 0, 1)}
    | {1, 2, 2**32 * 5 - 1, 2**32 * 5, MAX_VERSION - 1, MAX_VERSION}
)


@pytest.fixture
def collection(settings: QdrantWorkerSettings) -> str:
    return collection_of("product", settings.names)


class Interrupted:
    """The client, with another writer that acts after a read of the stage. `left`: what it still has to do."""

    def __init__(self, client: AsyncQdrantClient, *others: Callable[[], Any]) -> None:
        self._client = client
        self.left = list(others)

    async def retrieve(self, *args: Any, **options: Any) -> Any:
        seen = await self._client.retrieve(*args, **options)
        if self.left:
            await self.left.pop(0)()
        return seen

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)


async def test_the_fence_distinguishes_every_neighbouring_version(
    client: AsyncQdrantClient, stage: QdrantStage, collection: str, delete: MakeChange
) -> None:
    assert set(await stage.apply([delete(f"p{version}", version) for version in EDGES])) == {Applied()}
    for version in EDGES:
        found, _ = await client.scroll(collection, below(version), limit=100, with_payload=["version"])
        assert sorted(point.payload["version"] for point in found if point.payload) == [
            edge for edge in EDGES if edge < version
        ]


async def test_a_write_without_its_vector_distinguishes_every_neighbouring_version(
    client: AsyncQdrantClient, stage: QdrantStage, store: QdrantStore, collection: str, upsert: MakeChange
) -> None:
    before = {f"p{version}": version for version in EDGES if version < MAX_VERSION}
    await stage.apply([upsert(id, version, "text") for id, version in before.items()])
    operations = [
        set_fields(upsert(id, MAX_VERSION, "text", price=step), Seen(version + step))
        for id, version in before.items()
        for step in (-1, 1, 0)
    ]
    await client.batch_update_points(collection, operations)
    assert {
        id: entity.fields["price"] for id, entity in (await store.get("product", list(before))).items()
    } == dict.fromkeys(before, 0)


async def test_a_write_without_its_vector_does_not_change_another_text_of_the_version_that_was_read(
    client: AsyncQdrantClient, stage: QdrantStage, store: QdrantStore, collection: str, upsert: MakeChange
) -> None:
    # A repair may come between the read and the write, and leave the version that was read with another text.
    await stage.apply([upsert("a", 5, "repaired")])
    await client.batch_update_points(collection, [set_fields(upsert("a", 8, "text"), Seen(5))])
    assert (await store.get("product", ["a"]))["a"].version == 5


async def test_versions_far_apart_in_one_batch_are_all_applied(
    stage: QdrantStage, store: QdrantStore, upsert: MakeChange
) -> None:
    chance = random.Random(5)
    ids = [f"p{number}" for number in range(400)]
    old = [upsert(id, chance.choice([1, 50, 2**40, 2**53])) for id in ids if chance.random() < 0.6]
    await stage.apply(old)
    before = {change.id: change.version for change in old}
    new = [upsert(id, before.get(id, 1) + chance.choice([0, 1, 2**20])) for id in ids if id in before or id > "p2"]
    assert set(await stage.apply(new)) == {Applied()}
    stored = await store.get("product", ids)
    assert {id: entity.version for id, entity in stored.items()} == before | {
        change.id: change.version for change in new
    }


@pytest.mark.parametrize("text", ["same text", "other text"])
async def test_writes_planned_from_an_outdated_read_do_not_replace_a_newer_version(
    client: AsyncQdrantClient, stage: QdrantStage, store: QdrantStore, collection: str, upsert: MakeChange, text: str
) -> None:
    newest = upsert("a", 9, "same text", price=9)
    await stage.apply([newest])
    late = upsert("a", 8, text, price=8)
    planned = writes([late], {"a": Seen(1, late.embedding.content_hash if text == "same text" else None)})
    upserts = [models.UpsertOperation(upsert=planned.upsert)] if planned.upsert else []
    await client.batch_update_points(collection, [*upserts, *planned.operations])
    assert (await store.get("product", ["a"]))["a"].fields["price"] == 9


async def test_a_tombstone_written_after_the_read_is_not_undone(
    client: AsyncQdrantClient,
    store: QdrantStore,
    settings: QdrantWorkerSettings,
    upsert: MakeChange,
    delete: MakeChange,
) -> None:
    other = QdrantStage(client, settings.names)
    await other.apply([upsert("a", 1, "text"), upsert("b", 1, "text")])
    interrupted: Any = Interrupted(client, lambda: other.apply([delete("a", 5), delete("b", 5)]))
    late = QdrantStage(interrupted, settings.names)
    # One keeps its text and one does not: the two kinds of write.
    assert await late.apply([upsert("a", 4, "text"), upsert("b", 4, "new text")]) == [Superseded(5), Superseded(5)]
    assert not interrupted.left
    assert {entity.deleted for entity in (await store.get("product", ["a", "b"])).values()} == {True}


async def test_an_older_change_of_another_writer_does_not_prevent_a_newer_one(
    client: AsyncQdrantClient, store: QdrantStore, settings: QdrantWorkerSettings, upsert: MakeChange
) -> None:
    other = QdrantStage(client, settings.names)
    await other.apply([upsert("a", 1, "text"), upsert("b", 1, "text")])
    between = [upsert("a", 5, "between"), upsert("b", 5, "between")]
    interrupted: Any = Interrupted(client, lambda: other.apply(between))
    # All share the fence 4 of c: the first round does not write a and b, the second does.
    changes = [upsert("c", 4), upsert("a", 8, "text"), upsert("b", 8, "newer text")]
    assert await QdrantStage(interrupted, settings.names).apply(changes) == [Applied()] * 3
    assert not interrupted.left
    stored = await store.get("product", ["a", "b"])
    assert {id: entity.fields["title"] for id, entity in stored.items()} == {"a": "text", "b": "newer text"}
    # The stage planned to keep the vector of a, which the other writer then replaced.
    assert {id: entity.content_hash for id, entity in stored.items()} == {
        change.id: change.embedding.content_hash for change in changes[1:]
    }


async def test_changes_that_other_writers_keep_interrupting_are_unavailable_and_not_applied(
    client: AsyncQdrantClient, store: QdrantStore, settings: QdrantWorkerSettings, upsert: MakeChange
) -> None:
    other = QdrantStage(client, settings.names)
    changes = [upsert(f"p{number}", 100 + 10 * number) for number in range(20)]

    def interfere(round: int) -> Any:
        # The fence of this round admits only the round's first change.
        return other.apply([upsert(change.id, changes[round].version) for change in changes[round + 1 :]])

    interrupted: Any = Interrupted(client, *(partial(interfere, round) for round in range(len(changes))))
    with pytest.raises(Unavailable, match="other writers kept changing 13 points"):
        await QdrantStage(interrupted, settings.names).apply(changes)
    assert len(interrupted.left) == len(changes) - ROUNDS


async def test_two_writers_at_once_leave_the_newest_of_each_entity_whole(
    client: AsyncQdrantClient, store: QdrantStore, settings: QdrantWorkerSettings, collection: str, upsert: MakeChange,
    delete: MakeChange, vector: Callable[[str], list[float]],
) -> None:  # fmt: skip
    chance = random.Random(11)
    ids = [f"p{number}" for number in range(300)]
    batches: list[list[Any]] = []
    for _ in range(24):
        batch = []
        for id in chance.sample(ids, 120):
            version = chance.randrange(1, 2000)
            # A version of an entity has the same content in each batch, as both writers read the same topic.
            gone, text = version % 7 == 0, f"text {version % 3}"
            batch.append(delete(id, version) if gone else upsert(id, version, text, price=version))
        batches.append(batch)

    async def write(mine: Sequence[list[Any]]) -> None:
        writer = QdrantStage(client, settings.names)
        for batch in mine:
            outcomes = await writer.apply(batch)
            assert all(isinstance(outcome, Applied | Superseded) for outcome in outcomes)

    await asyncio.gather(write(batches[0::3]), write(batches[1::3]), write(batches[2::3]))
    newest: dict[str, Any] = {}
    for change in (change for batch in batches for change in batch):
        if change.id not in newest or change.version > newest[change.id].version:
            newest[change.id] = change
    points = {}
    for point in await client.retrieve(collection, [point_id(id) for id in newest], with_vectors=True):
        assert point.payload is not None
        points[point.payload["product_id"]] = point
    assert set(points) == set(newest)
    for id, change in newest.items():
        check_whole(points[id], change, vector)


def check_whole(point: models.Record, change: Any, vector: Callable[[str], list[float]]) -> None:
    assert point.payload is not None
    assert (point.payload["version"], point.payload["deleted"]) == (change.version, change.deleted)
    assert isinstance(point.vector, dict)
    if change.deleted:
        assert point.vector == {}
    else:
        assert point.payload["price"] == change.version
        assert point.vector[VECTOR] == pytest.approx(vector(change.title), abs=1e-6)


async def test_a_point_that_an_older_worker_replaced_without_the_digest_never_conflicts(
    stage: QdrantStage, client: AsyncQdrantClient, collection: str, upsert: MakeChange
) -> None:
    await stage.apply([upsert("a", 4, "text", digest="1:4:of-version-4")])
    assert await stage.apply([upsert("a", 4, "other", digest="1:4:of-other-content")]) == [Conflict()]
    await client.set_payload(collection, version_fields(5), points=[point_id("a")])
    assert await stage.apply([upsert("a", 5, "other", digest="1:5:of-version-5")]) == [Applied()]
