"""The requests of an unmodified client to the Qdrant development server."""

from collections.abc import Awaitable, Callable

import pytest
from qdrant_client import AsyncQdrantClient, models
from qdrant_client.http.exceptions import UnexpectedResponse

pytestmark = pytest.mark.servers

DENSE = {"dense": models.VectorParams(size=2, distance=models.Distance.COSINE)}


IDS = {"lamp": 1, "desk": 2, "sofa": 3, "vase": 4, "extra": 5, "nobody": 6}


def point(name: str, vector: tuple[float, float] = (1.0, 0.0), **payload: object) -> models.PointStruct:
    return models.PointStruct(id=IDS[name], vector={"dense": list(vector)}, payload={"name": name, **payload})


def field(key: str, value: bool | int | str) -> models.FieldCondition:
    return models.FieldCondition(key=key, match=models.MatchValue(value=value))


async def names(client: AsyncQdrantClient, collection: str, wanted: models.Filter) -> set[str]:
    found, _ = await client.scroll(collection, scroll_filter=wanted, limit=100)
    return {record.payload["name"] for record in found if record.payload}


@pytest.fixture
async def shelf(client: AsyncQdrantClient, collection: str) -> str:
    """Four points that differ in every kind of field."""
    points = [
        point("lamp", (1.0, 0.0), deleted=False, stock=3, brand="ikea", tags=["a", "b"], note=None),
        point("desk", (0.8, 0.6), deleted=False, stock=0, brand="muji", tags=[]),
        point("sofa", (0.0, 1.0), deleted=True, stock=7, brand="ikea"),
        point("vase", (-1.0, 0.0), deleted=False, stock=1, brand="hay", tags=["b"]),
    ]
    await client.upsert(collection, points)
    return collection


FILTERS = [
    (models.Filter(must=[field("deleted", False)]), {"lamp", "desk", "vase"}),
    (models.Filter(must=[field("deleted", True)]), {"sofa"}),
    (models.Filter(must=[field("stock", 1)]), {"vase"}),
    (models.Filter(must_not=[field("brand", "ikea")]), {"desk", "vase"}),
    (models.Filter(must=[models.FieldCondition(key="stock", range=models.Range(gte=1, lt=7))]), {"lamp", "vase"}),
    (models.Filter(must=[models.FieldCondition(key="tags", match=models.MatchAny(any=["b"]))]), {"lamp", "vase"}),
    (models.Filter(must=[models.HasIdCondition(has_id=[IDS["sofa"]])]), {"sofa"}),
    (models.Filter(must=[models.IsEmptyCondition(is_empty=models.PayloadField(key="tags"))]), {"desk", "sofa"}),
    (models.Filter(must=[models.IsNullCondition(is_null=models.PayloadField(key="note"))]), {"lamp"}),
    (
        models.Filter(should=[field("stock", 0), models.Filter(must=[field("brand", "ikea"), field("deleted", True)])]),
        {"desk", "sofa"},
    ),
]


@pytest.mark.parametrize("indexed", [False, True], ids=["unindexed", "indexed"])
async def test_filters_select_the_matching_points(client: AsyncQdrantClient, shelf: str, indexed: bool) -> None:
    if indexed:
        for key, kind in {"deleted": "bool", "stock": "integer", "brand": "keyword", "tags": "keyword"}.items():
            await client.create_payload_index(shelf, key, field_schema=models.PayloadSchemaType(kind))
    for wanted, expected in FILTERS:
        assert await names(client, shelf, wanted) == expected, wanted
        assert (await client.count(shelf, count_filter=wanted)).count == len(expected)


async def test_search_gives_the_nearest_first_within_filter_limit_and_threshold(
    client: AsyncQdrantClient, shelf: str
) -> None:
    exact = models.SearchParams(exact=True)
    live = models.Filter(must=[field("deleted", False)])
    answer = await client.query_points(
        shelf, query=[1.0, 0.0], using="dense", query_filter=live, search_params=exact, score_threshold=-0.5,
        with_payload=["name"],
    )  # fmt: skip
    assert [hit.payload for hit in answer.points] == [{"name": "lamp"}, {"name": "desk"}]
    assert [hit.score for hit in answer.points] == pytest.approx([1.0, 0.8])
    two = await client.query_points(shelf, query=[0.0, 1.0], using="dense", limit=2)
    assert [hit.id for hit in two.points] == [IDS["sofa"], IDS["desk"]]


async def test_a_batch_of_searches_has_the_results_of_single_searches(client: AsyncQdrantClient, shelf: str) -> None:
    vectors = [[1.0, 0.0], [0.0, 1.0], [-1.0, 0.2]]
    alone = [
        await client.query_points(shelf, query=vector, using="dense", limit=3, with_payload=False) for vector in vectors
    ]
    requests = [models.QueryRequest(query=vector, using="dense", limit=3) for vector in vectors]
    assert await client.query_batch_points(shelf, requests) == alone


async def test_scroll_gives_every_point_once_page_by_page(client: AsyncQdrantClient, collection: str) -> None:
    points = [models.PointStruct(id=id, vector={}, payload={}) for id in range(57)]
    await client.upsert(collection, points)
    seen: list[models.ExtendedPointId] = []
    offset: models.ExtendedPointId | None = None
    while True:
        page, offset = await client.scroll(collection, limit=10, offset=offset)
        seen += [record.id for record in page]
        if offset is None:
            break
    assert sorted(seen) == list(range(57))


async def test_scroll_in_the_order_of_an_indexed_field(client: AsyncQdrantClient, shelf: str) -> None:
    with pytest.raises(UnexpectedResponse, match="No range index"):
        await client.scroll(shelf, order_by="stock")
    await client.create_payload_index(shelf, "stock", field_schema=models.PayloadSchemaType.INTEGER)
    found, _ = await client.scroll(shelf, order_by=models.OrderBy(key="stock", direction=models.Direction.DESC))
    assert [record.payload["stock"] for record in found if record.payload] == [7, 3, 1, 0]


async def test_set_payload_keeps_other_fields_by_ids_and_by_filter(client: AsyncQdrantClient, shelf: str) -> None:
    await client.set_payload(shelf, {"stock": 9}, points=[IDS["lamp"]])
    await client.set_payload(shelf, {"sale": True}, points=models.Filter(must=[field("brand", "muji")]))
    await client.set_payload(shelf, {"sale": True}, points=models.Filter(must=[field("brand", "nobody")]))
    assert await names(client, shelf, models.Filter(must=[field("stock", 9), field("brand", "ikea")])) == {"lamp"}
    assert await names(client, shelf, models.Filter(must=[field("sale", True)])) == {"desk"}
    with pytest.raises(UnexpectedResponse, match="404"):
        await client.set_payload(shelf, {"stock": 1}, points=[IDS["nobody"]])


async def test_points_are_deleted_by_ids_and_by_filter(client: AsyncQdrantClient, shelf: str) -> None:
    await client.delete(shelf, points_selector=[IDS["lamp"], IDS["nobody"]])
    await client.delete(shelf, points_selector=models.Filter(must=[field("deleted", True)]))
    assert await names(client, shelf, models.Filter()) == {"desk", "vase"}


async def test_a_batch_of_operations_is_applied_in_order_with_its_own_conditions(
    client: AsyncQdrantClient, shelf: str
) -> None:
    never = models.Filter(must=[field("stock", 999)])
    operations: list[models.UpdateOperation] = [
        models.UpsertOperation(upsert=models.PointsList(points=[point("lamp", stock=1)], update_filter=never)),
        models.UpsertOperation(upsert=models.PointsList(points=[point("desk", stock=8)])),
        models.SetPayloadOperation(
            set_payload=models.SetPayload(payload={"seen": True}, filter=models.Filter(must=[field("stock", 8)]))
        ),
    ]
    results = await client.batch_update_points(shelf, operations)
    assert [result.status for result in results] == [models.UpdateStatus.COMPLETED] * 3
    assert await names(client, shelf, models.Filter(must=[field("seen", True)])) == {"desk"}
    assert await names(client, shelf, models.Filter(must=[field("stock", 3)])) == {"lamp"}


async def test_every_route_accepts_an_alias_and_a_swap_is_one_step(client: AsyncQdrantClient, shelf: str) -> None:
    alias, fresh = f"alias-{shelf}", f"fresh-{shelf}"
    await client.create_collection(fresh, vectors_config=DENSE)

    def to(target: str) -> models.CreateAliasOperation:
        return models.CreateAliasOperation(create_alias=models.CreateAlias(collection_name=target, alias_name=alias))

    await client.update_collection_aliases([to(shelf)])
    assert await client.collection_exists(alias)
    await client.upsert(alias, [point("extra")])
    assert (await client.count(shelf)).count == 5
    assert len((await client.query_points(alias, query=[1.0, 0.0], using="dense")).points) == 5
    assert (await client.get_collection(alias)).points_count == 5

    drop = models.DeleteAliasOperation(delete_alias=models.DeleteAlias(alias_name=alias))
    await client.update_collection_aliases([drop, to(fresh)])
    assert (await client.count(alias)).count == 0
    described = (await client.get_collection_aliases(fresh)).aliases
    assert [(found.alias_name, found.collection_name) for found in described] == [(alias, fresh)]

    await client.delete_collection(fresh)
    assert not await client.collection_exists(alias)
    assert alias not in {found.alias_name for found in (await client.get_aliases()).aliases}


async def test_the_description_of_a_collection_names_vectors_and_indexes(
    client: AsyncQdrantClient, collection: str
) -> None:
    await client.create_payload_index(collection, "stock", field_schema=models.PayloadSchemaType.INTEGER)
    info = await client.get_collection(collection)
    assert info.config.params.vectors == DENSE
    assert info.payload_schema["stock"].data_type is models.PayloadSchemaType.INTEGER
    await client.delete_payload_index(collection, "stock")
    assert (await client.get_collection(collection)).payload_schema == {}


REFUSALS: list[tuple[int, str, Callable[[AsyncQdrantClient, str], Awaitable[object]]]] = [
    (404, "Collection `nowhere`", lambda client, name: client.count("nowhere")),
    (404, "Collection `nowhere`", lambda client, name: client.upsert("nowhere", [point("lamp")])),
    (409, "already exists", lambda client, name: client.create_collection(name, vectors_config=DENSE)),
    (400, "Not existing vector name", lambda client, name: client.query_points(name, query=[1.0, 0.0], using="no")),
    (400, "expected dim: 2, got 1", lambda client, name: client.query_points(name, query=[1.0], using="dense")),
    (400, "not a valid point ID", lambda client, name: client.retrieve(name, ["lamp"])),
]


@pytest.mark.parametrize(("status", "message", "call"), REFUSALS, ids=[f"{one[0]} {one[1]}" for one in REFUSALS])
async def test_refusals_carry_the_real_servers_status(
    client: AsyncQdrantClient,
    collection: str,
    status: int,
    message: str,
    call: Callable[[AsyncQdrantClient, str], Awaitable[object]],
) -> None:
    with pytest.raises(UnexpectedResponse, match=message) as refused:
        await call(client, collection)
    assert refused.value.status_code == status
