"""A version that was taken back does not stand against lower ones, not even for a moment."""

from collections.abc import Callable

from elasticsearch import AsyncElasticsearch

from headrace_elasticsearch.indices import Indices
from headrace_elasticsearch.preparation import existing_index
from headrace_elasticsearch.removal import REMEMBERED
from headrace_elasticsearch.stage import ElasticsearchStage
from headrace_schemas.changes import ProductChange
from headrace_schemas.forget_record import Forget
from headrace_worker.stage import Applied

Product = Callable[..., ProductChange]
WRONG = 9_999_999_999
"""Not the highest possible version: Elasticsearch counts a removal as the next version, which does not exist then."""


async def test_a_lower_version_is_taken_at_once_each_time(
    stage: ElasticsearchStage, client: AsyncElasticsearch, names: Indices, product: Product
) -> None:
    for id in ("p0", "p1", "p2", "p3"):
        await stage.apply([product(id, WRONG)])
        assert await stage.forget(Forget(kind="product", id=id, version=WRONG)) == Applied()
        assert await stage.apply([product(id, 1)]) == [Applied()], id
    physical = await existing_index(client, names["product"])
    settings = (await client.indices.get_settings(index=physical)).body[physical]["settings"]
    assert REMEMBERED.removeprefix("index.") not in settings["index"]


async def test_a_removal_that_was_cut_off_is_completed(
    stage: ElasticsearchStage, client: AsyncElasticsearch, names: Indices, product: Product
) -> None:
    await stage.apply([product("p", WRONG)])
    await client.delete(index=await existing_index(client, names["product"]), id="p")
    assert await stage.forget(Forget(kind="product", id="p", version=WRONG)) == Applied()
    assert await stage.apply([product("p", 1)]) == [Applied()]
