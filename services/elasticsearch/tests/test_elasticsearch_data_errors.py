"""Elasticsearch refuses only the change with bad data, with a cause that has no values."""

from typing import Any

import pytest
from elasticsearch import AsyncElasticsearch

from headrace_elasticsearch.indices import Index, Indices
from headrace_elasticsearch.stage import ElasticsearchStage
from headrace_schemas.changes import ProductChange
from headrace_worker.stage import Applied, Rejected


async def create_with(client: AsyncElasticsearch, index: Index, properties: dict[str, Any]) -> None:
    """The index with another mapping of some fields, as after a wrong change of the mapping."""
    mapping = index.mapping
    fields = {name: field for name, field in (mapping["properties"] | properties).items() if field}
    await client.indices.create(
        index=index.physical, aliases={index.alias: index.alias_settings}, mappings=mapping | {"properties": fields}
    )


@pytest.fixture
def stage_alone(client: AsyncElasticsearch, names: Indices) -> ElasticsearchStage:
    """A stage whose indices the test creates."""
    return ElasticsearchStage(client, names)


async def test_one_change_that_the_mapping_refuses_leaves_its_499_neighbours_applied(
    stage_alone: ElasticsearchStage, client: AsyncElasticsearch, names: Indices, product: Any
) -> None:
    await create_with(client, names["product"], {"brand": {"type": "date"}})
    changes = [product(f"p{n}") for n in range(500)]
    changes[250] = product("p250", brand="not a date")

    outcomes = await stage_alone.apply(changes)

    refused = outcomes[250]
    assert isinstance(refused, Rejected)
    assert (refused.reason, refused.cause) == (
        "refused_by_store",
        ("elasticsearch", "document_parsing_exception", "brand"),
    )
    assert [outcome for n, outcome in enumerate(outcomes) if n != 250] == [Applied()] * 499


async def test_errors_that_differ_only_in_values_have_one_cause(
    stage_alone: ElasticsearchStage, client: AsyncElasticsearch, names: Indices, product: Any
) -> None:
    await create_with(client, names["product"], {"locale": {"type": "integer"}})
    changes = [product(f"failed to parse field [price] {n}", locale=f"field [title] {n}") for n in range(20)]

    causes = {outcome.cause for outcome in await stage_alone.apply(changes) if isinstance(outcome, Rejected)}

    assert causes == {("elasticsearch", "document_parsing_exception", "locale")}


async def test_a_field_that_the_mapping_lacks_is_named(
    stage_alone: ElasticsearchStage, client: AsyncElasticsearch, names: Indices, product: Any
) -> None:
    await create_with(client, names["product"], {"currency": None})

    outcomes = await stage_alone.apply([product("a", currency="EUR"), product("b")])

    assert [getattr(outcome, "cause", None) for outcome in outcomes] == [
        ("elasticsearch", "strict_dynamic_mapping_exception", "currency"),
        None,
    ]


async def test_an_immense_term_is_refused_where_the_mapping_does_not_truncate_it(
    stage_alone: ElasticsearchStage, client: AsyncElasticsearch, names: Indices, product: Any
) -> None:
    await create_with(client, names["product"], {"brand": {"type": "keyword"}})

    [outcome] = await stage_alone.apply([product("a", brand="x" * 40_000)])

    assert isinstance(outcome, Rejected)
    assert outcome.cause == ("elasticsearch", "document_parsing_exception", "brand")


async def test_the_mapping_refuses_no_valid_record(
    stage: ElasticsearchStage, store: Any, product: Any, keyword: Any
) -> None:
    deep: Any = "leaf"
    for _ in range(19):
        deep = {"k" * 512: deep}
    long = "가" * 40_000
    changes = [
        product("text", title=long[:10_000], description=long, brand=long, category=long, currency=long, locale=long),
        product("deep", attributes=deep),
        product("wide", attributes={f"k{n}": long[:5000] for n in range(20)}),
        product("mixed", attributes={"a": [[1, None], [{"b": 2**63 - 1}]], "a.b": 1.5, ".": True, "..": {}}),
        product("x" * 512, price=-1.7e308),
        keyword("k", text=long[:1_000], popularity=5e-324),
    ]

    assert await stage.apply(changes) == [Applied()] * len(changes)
    stored = await store.get("product", [change.id for change in changes[:5]])
    assert stored["mixed"].fields["attributes"] == changes[3].attributes


async def test_a_change_for_which_a_whole_request_is_refused_is_found_and_the_others_are_written(
    stage: ElasticsearchStage, store: Any, product: Any
) -> None:
    too_long = ProductChange.model_construct(**product("x").model_dump() | {"product_id": "x" * 513})

    written, rejection = await stage.apply([product("a"), too_long])

    assert written == Applied()
    assert isinstance(rejection, Rejected)
    assert rejection.cause == ("elasticsearch", "action_request_validation_exception")
    assert set(await store.get("product", ["a", too_long.id])) == {"a"}
