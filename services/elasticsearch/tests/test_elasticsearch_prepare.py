"""Indices and aliases are created once, whole, and repaired where they differ from what the worker needs."""

import asyncio
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from elasticsearch import AsyncElasticsearch
from harness.link_sinks import link_set

from headrace_elasticsearch.documents import action
from headrace_elasticsearch.indices import Indices, indices
from headrace_elasticsearch.preparation import missing_fields
from headrace_elasticsearch.stage import ElasticsearchStage
from headrace_elasticsearch.store import ElasticsearchStore
from headrace_worker.stage import Applied, Conflict, Superseded, Unavailable
from headrace_worker.store import Query
from headrace_worker.store_names import StoreNames


async def test_it_creates_an_index_and_its_alias_for_each_kind_and_nothing_when_repeated(
    client: AsyncElasticsearch, names: Indices
) -> None:
    store = ElasticsearchStore(client, names)

    assert await store.prepare() == [f"index {i.physical} with alias {i.alias}" for i in names.values()]
    assert await store.prepare() == []
    await ElasticsearchStage(client, names).check()


async def test_two_at_once_create_it_once(client: AsyncElasticsearch, names: Indices, product: Any) -> None:
    made = await asyncio.gather(*(ElasticsearchStore(client, names).prepare() for _ in range(6)))

    assert sorted(line for lines in made for line in lines) == sorted(
        f"index {i.physical} with alias {i.alias}" for i in names.values()
    )
    assert await ElasticsearchStage(client, names).apply([product("a")]) == [Applied()]


async def test_an_index_without_its_alias_gets_it(client: AsyncElasticsearch, names: Indices) -> None:
    index = names["product"]
    await client.indices.create(index=index.physical, mappings=index.mapping)

    assert f"alias {index.alias} on {index.physical}" in await ElasticsearchStore(client, names).prepare()
    assert (await client.indices.get_alias(name=index.alias)).body == {
        index.physical: {"aliases": {index.alias: index.alias_settings}}
    }


async def test_an_alias_that_lost_its_filter_hides_tombstones_again(
    client: AsyncElasticsearch, names: Indices, store: ElasticsearchStore, stage: ElasticsearchStage, keyword: Any
) -> None:
    index = names["keyword"]
    assert await stage.apply([keyword("live"), keyword("gone", op="delete")]) == [Applied()] * 2
    await store.refresh()
    assert (await client.count(index=index.alias))["count"] == 1
    await client.indices.update_aliases(actions=[{"add": {"index": index.physical, "alias": index.alias}}])
    assert (await client.count(index=index.alias))["count"] == 2

    assert await store.prepare() == [f"alias {index.alias} on {index.physical}"]
    assert await store.prepare() == []
    assert (await client.count(index=index.alias))["count"] == 1


async def test_a_refresh_that_was_left_off_is_turned_on_again(
    client: AsyncElasticsearch, names: Indices, store: ElasticsearchStore
) -> None:
    physical = names["product"].physical
    await client.indices.put_settings(index=physical, settings={"index.refresh_interval": "-1"})

    assert await store.prepare() == [f"refresh of {physical}"]
    settings = (await client.indices.get_settings(index=physical, flat_settings=True)).body[physical]["settings"]
    assert "index.refresh_interval" not in settings


async def test_the_fields_of_a_newer_mapping_are_added(
    client: AsyncElasticsearch, names: Indices, product: Any
) -> None:
    index = names["product"]
    older = {name: field for name, field in index.mapping["properties"].items() if name not in {"locale", "attributes"}}
    older["brand"] = {"type": "text"}
    await client.indices.create(
        index=index.physical,
        aliases={index.alias: index.alias_settings},
        mappings={"dynamic": "strict", "properties": older},
    )

    assert f"fields of {index.physical}: brand, attributes, locale" in await ElasticsearchStore(client, names).prepare()
    assert await ElasticsearchStage(client, names).apply([product("a", locale="ko", attributes={"a": 1})]) == [
        Applied()
    ]
    assert await ElasticsearchStore(client, names).prepare() == []


async def test_an_error_that_cannot_be_repaired_says_what_to_do(client: AsyncElasticsearch, names: Indices) -> None:
    product, keyword = names["product"], names["keyword"]
    await client.indices.create(index=product.physical, mappings={"properties": {"price": {"type": "keyword"}}})
    with pytest.raises(Unavailable, match="maps price to another type"):
        await ElasticsearchStore(client, {"product": product}).prepare()

    await client.indices.create(index=keyword.alias)
    with pytest.raises(Unavailable, match=f"an index has the name of the alias {keyword.alias}"):
        await ElasticsearchStore(client, {"keyword": keyword}).prepare()


async def test_a_second_physical_index_behind_the_alias_gets_the_writes_once_it_is_marked(
    client: AsyncElasticsearch, names: Indices, store: ElasticsearchStore, product: Any
) -> None:
    index = names["product"]
    stage = ElasticsearchStage(client, names)
    await stage.apply([product("a", 5)])
    second = index.physical.replace("-v1", "-v2")
    await client.indices.create(index=second, mappings=index.mapping)
    await client.indices.update_aliases(
        actions=[
            {"remove": {"index": index.physical, "alias": index.alias}},
            {"add": {"index": second, "alias": index.alias, **index.alias_settings}},
        ]
    )

    assert await stage.apply([product("a", 3)]) == [Applied()]
    assert {stored.version async for stored in store.scan("product")} == set()
    await store.refresh()
    assert {stored.version async for stored in store.scan("product")} == {3}
    assert [hit.id for hit in await store.search(Query("lamp"))] == ["a"]


def test_a_subfield_is_added_to_a_field_that_otherwise_stays() -> None:
    stored = {"brand": {"type": "text", "analyzer": "simple"}}
    wanted = {"brand": {"type": "text", "analyzer": "standard", "fields": {"keyword": {"type": "keyword"}}}}

    assert missing_fields(stored, wanted) == {
        "brand": {"type": "text", "analyzer": "simple", "fields": {"keyword": {"type": "keyword"}}}
    }
    assert missing_fields(wanted, wanted) == {}


async def test_an_index_of_an_older_release_is_waited_for_and_its_documents_never_conflict(
    client: AsyncElasticsearch, names: Indices, store: ElasticsearchStore, stage: ElasticsearchStage, product: Any
) -> None:
    index = names["product"]
    older = {name: field for name, field in index.mapping["properties"].items() if name != "digest"}
    await client.indices.delete(index=index.physical)
    await client.indices.create(
        index=index.physical,
        aliases={index.alias: index.alias_settings},
        mappings=index.mapping | {"properties": older},
    )
    document = {"product_id": "old", "title": "Lamp", "version": 3, "deleted": False}
    await client.index(index=index.alias, id="old", document=document, version=3, version_type="external")

    with pytest.raises(Unavailable, match="stores apply"):
        await stage.apply([product("old", 4)])

    assert await store.prepare() == [f"fields of {index.physical}: digest"]
    assert await stage.apply([product("old", 3, title="Other lamp")]) == [Applied()]
    assert await stage.apply([product("old", 4)]) == [Applied()]
    assert await stage.apply([product("old", 4, title="Other lamp")]) == [Conflict()]


async def test_an_index_of_links_without_a_model_becomes_that_of_the_first_model(
    client: AsyncElasticsearch, names: Indices
) -> None:
    index, other = (
        names["product_links"],
        indices(StoreNames(names["product"].alias.partition("-")[0], "other"))["product_links"],
    )
    assert index.public is not None
    old = f"{index.public}-v1"
    await client.indices.create(index=old, mappings=index.mapping, aliases={index.public: index.alias_settings})
    store, stage = ElasticsearchStore(client, names), ElasticsearchStage(client, names)
    # A worker of the release before writes through the public alias.
    written = json.loads(action(link_set("a", 3, ["x"]), index, datetime.now(UTC)).lines.splitlines()[1])
    await client.index(index=index.public, id="a", document=written, version=3, version_type="external")
    assert f"alias {index.alias} on {old}" in await store.prepare()
    assert await stage.apply([link_set("a", 2, ["y"]), link_set("b", 1, ["z"])]) == [Superseded(by=3), Applied()]
    assert await store.links_of(["a", "b"]) == {"a": link_set("a", 3, ["x"]), "b": link_set("b", 1, ["z"])}
    of_other = ElasticsearchStore(client, {"product_links": other})
    assert await of_other.prepare() == [f"index {other.physical} with alias {other.alias}"]
    assert await of_other.links_of(["a", "b"]) == {}
    assert await store.prepare() == await of_other.prepare() == []
    found = (await client.indices.get_alias(name=index.public)).body
    assert list(found) == [old]
    assert await of_other.serve() == [f"alias {index.public} on {other.physical}"]
    assert list((await client.indices.get_alias(name=index.public)).body) == [other.physical]
    assert await of_other.serve() == await of_other.prepare() == await store.prepare() == []
