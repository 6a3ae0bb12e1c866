"""A store that cannot write now: no change is rejected, no index is created, and the other changes are written."""

import socket
from typing import Any

import pytest
from elasticsearch import AsyncElasticsearch
from harness.servers import Servers

from headrace_elasticsearch.bulks import BulkLimits
from headrace_elasticsearch.client import connect
from headrace_elasticsearch.indices import Indices
from headrace_elasticsearch.settings import ElasticsearchSettings
from headrace_elasticsearch.stage import ElasticsearchStage
from headrace_elasticsearch.store import ElasticsearchStore
from headrace_worker.stage import Applied, Rejected, Unavailable


async def test_without_its_alias_nothing_is_written_and_no_index_is_created_in_its_place(
    client: AsyncElasticsearch, names: Indices, product: Any
) -> None:
    stage = ElasticsearchStage(client, names)

    with pytest.raises(Unavailable) as caught:
        await stage.apply([product("a")])

    assert not caught.value.suspect
    assert not await client.indices.exists(index=names["product"].alias)
    with pytest.raises(Unavailable, match="missing"):
        await stage.check()


async def test_a_concrete_index_in_the_place_of_the_alias_is_not_written_to(
    client: AsyncElasticsearch, names: Indices, product: Any
) -> None:
    await client.indices.create(index=names["product"].alias)

    with pytest.raises(Unavailable):
        await ElasticsearchStage(client, names).apply([product("a")])

    assert (await client.indices.get_mapping(index=names["product"].alias)).body[names["product"].alias] == {
        "mappings": {}
    }


@pytest.mark.parametrize("block", ["index.blocks.write", "index.blocks.read_only_allow_delete"])
async def test_a_blocked_index_makes_only_its_own_changes_unavailable(
    stage: ElasticsearchStage, client: AsyncElasticsearch, names: Indices, product: Any, keyword: Any, block: str
) -> None:
    physical = names["product"].physical
    await client.indices.put_settings(index=physical, settings={block: True})

    refused, written = await stage.apply([product("a"), keyword("k")])

    assert isinstance(refused, Unavailable)
    assert not refused.suspect
    assert written == Applied()
    await client.indices.put_settings(index=physical, settings={block: None})
    assert await stage.apply([product("a"), keyword("k")]) == [Applied(), Applied()]


async def test_a_closed_index_is_unavailable_until_it_is_opened(
    stage: ElasticsearchStage, client: AsyncElasticsearch, names: Indices, product: Any
) -> None:
    await client.indices.close(index=names["product"].physical)

    with pytest.raises(Unavailable, match="index_closed_exception") as caught:
        await stage.apply([product("a")])

    assert not caught.value.suspect
    await client.indices.open(index=names["product"].physical, wait_for_active_shards=1)
    assert await stage.apply([product("a")]) == [Applied()]


class ClosingBeforeLookUp:
    """The client, whose index is closed between a bulk request and the look-up of its conflicts."""

    def __init__(self, client: AsyncElasticsearch, physical: str) -> None:
        self._client = client
        self._physical = physical
        self.looked_up = False

    async def mget(self, **options: Any) -> Any:
        self.looked_up = True
        await self._client.indices.close(index=self._physical)
        return await self._client.mget(**options)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)


async def test_a_conflict_whose_version_cannot_be_read_is_unavailable(
    stage: ElasticsearchStage, client: AsyncElasticsearch, names: Indices, product: Any
) -> None:
    await stage.apply([product("a", 2)])
    closing: Any = ClosingBeforeLookUp(client, names["product"].physical)

    with pytest.raises(Unavailable):
        await ElasticsearchStage(closing, names).apply([product("a", 1)])

    assert closing.looked_up


@pytest.mark.filterwarnings("ignore:Sending a large body:ResourceWarning")
async def test_only_a_change_above_the_limit_of_a_node_is_too_large_and_an_overload_is_unavailable(
    client: AsyncElasticsearch, names: Indices, store: ElasticsearchStore, product: Any
) -> None:
    """Both are a 429 with the type es_rejected_execution_exception."""
    nodes = (await client.nodes.stats(metric="indexing_pressure"))["nodes"]
    [pressure] = [node["indexing_pressure"]["memory"]["limit_in_bytes"] for node in nodes.values()]
    megabyte = "x" * 1_000_000
    changes = [product(f"p{n}", description=megabyte) for n in range(pressure // 1_000_000 + 2)]

    assert await ElasticsearchStage(client, names, BulkLimits(bytes=4 * pressure)).apply(changes) == [Applied()] * len(
        changes
    )

    [never, small] = await ElasticsearchStage(client, names).apply(
        [product("large", description="x" * (pressure + 1)), product("small")]
    )
    assert isinstance(never, Rejected)
    assert (never.reason, never.cause, small) == ("too_large", ("elasticsearch", "429"), Applied())

    limits = BulkLimits(bytes=6 * pressure // 10, in_flight=8)
    again = [product(f"p{n}", version=2, description=megabyte) for n in range(4 * pressure // 1_000_000)]
    try:
        outcomes = await ElasticsearchStage(client, names, limits).apply(again)
    except Unavailable as error:
        outcomes = [error]
    overloads = [outcome for outcome in outcomes if isinstance(outcome, Unavailable)]
    assert overloads
    assert all("429 es_rejected_execution_exception" in one.detail and not one.suspect for one in overloads)
    assert not [outcome for outcome in outcomes if not isinstance(outcome, Applied | Unavailable)]


async def test_a_server_that_is_not_there_is_unavailable(names: Indices, product: Any) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        async with connect(ElasticsearchSettings(url=url, timeout=5)) as client:
            for call in (
                ElasticsearchStage(client, names).apply([product("a")]),
                ElasticsearchStage(client, names).check(),
                ElasticsearchStore(client, names).prepare(),
                ElasticsearchStore(client, names).get("product", ["a"]),
            ):
                with pytest.raises(Unavailable) as caught:
                    await call
                assert not caught.value.suspect


async def test_a_paused_server_is_unavailable_after_the_timeout_and_its_late_write_changes_nothing(
    faults: Servers,
    elasticsearch_settings: ElasticsearchSettings,
    names: Indices,
    store: ElasticsearchStore,
    product: Any,
) -> None:
    impatient = elasticsearch_settings.model_copy(update={"timeout": 1})
    async with connect(impatient) as client:
        stage = ElasticsearchStage(client, names)
        faults.pause("elasticsearch")
        try:
            with pytest.raises(Unavailable) as caught:
                await stage.apply([product("a", 1)])
        finally:
            faults.resume("elasticsearch")
        assert not caught.value.suspect
        async with connect(elasticsearch_settings) as patient:
            assert await ElasticsearchStage(patient, names).apply([product("a", 2)]) == [Applied()]
    assert (await store.get("product", ["a"]))["a"].version == 2
