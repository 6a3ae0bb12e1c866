"""The conditional upsert that the Qdrant sink's fence depends on, evaluated by the real engine."""

import asyncio
import random
from uuid import UUID, uuid5

import pytest
from qdrant_client import AsyncQdrantClient, models

pytestmark = pytest.mark.servers

# Neighbours that are equal as float64, and the borders of the two halves.
NEIGHBOURS = [(2**53, 2**53 + 1), (2**63 - 2, 2**63 - 1), (2**32 - 1, 2**32), (1, 2), (2**32, 2**33)]


SPACE = UUID("6f1c8f6e-0d3b-4f7c-9b61-2a8b3f1f7a10")


def point_id(name: str) -> str:
    return str(uuid5(SPACE, name))


def point(
    name: str, version: int, vector: tuple[float, float] | None = (1.0, 0.0), **payload: object
) -> models.PointStruct:
    """Makes a point as a sink writes it: the version in two halves; a tombstone has no vector."""
    halves = {"version": version, "version_hi": version >> 32, "version_lo": version & 0xFFFFFFFF}
    return models.PointStruct(
        id=point_id(name), vector={"dense": list(vector)} if vector else {}, payload={"name": name, **halves, **payload}
    )


def below(version: int) -> models.Filter:
    """The stored version is lower than this one, compared exactly over 63 bits."""
    high, low = version >> 32, version & 0xFFFFFFFF
    same_high = models.FieldCondition(key="version_hi", match=models.MatchValue(value=high))
    lower_low = models.FieldCondition(key="version_lo", range=models.Range(lt=low))
    lower_high = models.FieldCondition(key="version_hi", range=models.Range(lt=high))
    return models.Filter(should=[lower_high, models.Filter(must=[same_high, lower_low])])


async def stored_version(client: AsyncQdrantClient, collection: str, name: str) -> int:
    (found,) = await client.retrieve(collection, [point_id(name)])
    assert found.payload is not None
    return int(found.payload["version"])


async def write(client: AsyncQdrantClient, collection: str, name: str, version: int) -> None:
    await client.upsert(collection, [point(name, version)], wait=True, update_filter=below(version))


@pytest.mark.parametrize(("older", "newer"), NEIGHBOURS)
async def test_a_newer_version_replaces_and_an_older_or_equal_one_does_not(
    client: AsyncQdrantClient, collection: str, older: int, newer: int
) -> None:
    await write(client, collection, "lamp", older)
    assert await stored_version(client, collection, "lamp") == older
    await write(client, collection, "lamp", newer)
    assert await stored_version(client, collection, "lamp") == newer
    await write(client, collection, "lamp", older)
    assert await stored_version(client, collection, "lamp") == newer
    await client.upsert(collection, [point("lamp", newer, title="again")], update_filter=below(newer))
    (found,) = await client.retrieve(collection, [point_id("lamp")])
    assert found.payload is not None
    assert "title" not in found.payload


async def test_one_filter_decides_for_each_point_of_a_batch(client: AsyncQdrantClient, collection: str) -> None:
    await client.upsert(collection, [point("old", 5), point("ahead", 9)])
    batch = [point("old", 7), point("ahead", 7), point("new", 7)]
    await client.upsert(collection, batch, update_filter=below(7))
    stored = {name: await stored_version(client, collection, name) for name in ("old", "ahead", "new")}
    assert stored == {"old": 7, "ahead": 9, "new": 7}


async def test_writers_that_race_leave_the_newest_version(client: AsyncQdrantClient, collection: str) -> None:
    versions = [2**53 + step for step in range(60)]
    random.Random(7).shuffle(versions)
    await asyncio.gather(*(write(client, collection, "lamp", version) for version in versions))
    assert await stored_version(client, collection, "lamp") == max(versions)


async def test_a_tombstone_removes_the_vector_and_no_search_finds_it(
    client: AsyncQdrantClient, collection: str
) -> None:
    await client.upsert(collection, [point("gone", 1), point("kept", 1, (0.0, 1.0))])
    await client.upsert(collection, [point("gone", 2, None, deleted=True)], update_filter=below(2))
    (found,) = await client.retrieve(collection, [point_id("gone")], with_vectors=True)
    assert found.vector == {}
    answer = await client.query_points(collection, query=[1.0, 0.0], using="dense", with_payload=True)
    assert [hit.payload["name"] for hit in answer.points if hit.payload] == ["kept"]


async def test_a_point_without_a_vector_can_get_one_later(client: AsyncQdrantClient, collection: str) -> None:
    await client.upsert(collection, [point("back", 1, None)])
    await client.upsert(collection, [point("back", 2)], update_filter=below(2))
    answer = await client.query_points(collection, query=[1.0, 0.0], using="dense")
    assert [hit.id for hit in answer.points] == [point_id("back")]


async def test_a_bad_vector_refuses_its_whole_batch(client: AsyncQdrantClient, collection: str) -> None:
    bad = point("bad", 1)
    bad.vector = {"dense": [1.0, 2.0, 3.0]}
    with pytest.raises(Exception, match="expected dim: 2, got 3") as refused:
        await client.upsert(collection, [point("good", 1), bad])
    assert getattr(refused.value, "status_code", None) == 400
    assert (await client.count(collection)).count == 0


async def test_integers_of_63_bits_come_back_unchanged(client: AsyncQdrantClient, collection: str) -> None:
    await client.upsert(collection, [point("lamp", 2**63 - 1)])
    assert await stored_version(client, collection, "lamp") == 2**63 - 1
