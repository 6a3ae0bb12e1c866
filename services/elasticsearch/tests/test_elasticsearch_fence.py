"""Elasticsearch compares the versions; after a conflict the stage reads which version is stored."""

from typing import Any

from elasticsearch import AsyncElasticsearch

from headrace_elasticsearch.indices import Indices
from headrace_elasticsearch.stage import ElasticsearchStage
from headrace_elasticsearch.store import ElasticsearchStore
from headrace_worker.stage import Applied, Superseded


async def test_a_conflict_with_the_same_version_is_applied_and_with_a_newer_one_superseded_by_it(
    stage: ElasticsearchStage, product: Any
) -> None:
    await stage.apply([product("same", 5), product("newer", 2**63 - 1), product("older", 5)])

    outcomes = await stage.apply([product("same", 5), product("newer", 2**63 - 2), product("older", 6)])

    assert outcomes == [Applied(), Superseded(by=2**63 - 1), Applied()]
    assert [outcome.without_work for outcome in outcomes if isinstance(outcome, Applied)] == [True, False]


async def test_a_product_and_a_keyword_of_one_id_are_looked_up_each_in_its_own_index(
    stage: ElasticsearchStage, product: Any, keyword: Any
) -> None:
    await stage.apply([product("one", 7), keyword("one", 9)])

    outcomes = await stage.apply([product("one", 7), keyword("one", 8)])

    assert outcomes == [Applied(), Superseded(by=9)]


async def test_a_delete_is_a_tombstone_with_the_version_and_no_field_of_the_entity(
    stage: ElasticsearchStage, client: AsyncElasticsearch, names: Indices, product: Any
) -> None:
    await stage.apply([product("gone", 1, description="a secret lamp")])
    await stage.apply([product("gone", 2, op="delete")])

    document = await client.get(index=names["product"].physical, id="gone")

    assert document["_version"] == 2
    assert document["_source"].keys() == {"product_id", "version", "deleted", "deleted_at", "digest"}
    assert await stage.apply([product("gone", 1)]) == [Superseded(by=2)]


async def test_the_age_of_a_tombstone_starts_at_its_write(
    stage: ElasticsearchStage, client: AsyncElasticsearch, names: Indices, product: Any
) -> None:
    change = product("gone", 2, op="delete", occurred_at="2001-01-01T00:00:00Z")
    await stage.apply([change])

    document = await client.get(index=names["product"].physical, id="gone")

    assert document["_source"]["deleted_at"] > "2020"


async def test_every_change_has_its_own_outcome_however_many_requests_a_batch_takes(
    stage: ElasticsearchStage, store: ElasticsearchStore, product: Any
) -> None:
    await stage.apply([product(f"p{n}", 10) for n in range(0, 2500, 2)])

    outcomes = await stage.apply([product(f"p{n}", 9) for n in range(2500)])

    assert outcomes == [Applied() if n % 2 else Superseded(by=10) for n in range(2500)]
    assert len(await store.get("product", [f"p{n}" for n in range(2500)])) == 2500
