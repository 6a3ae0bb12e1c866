"""The sets of indices of two models: a rebuild removes what it has replaced, and nothing that the other model uses."""

from collections.abc import AsyncIterator
from uuid import uuid4

import pytest
from elasticsearch import AsyncElasticsearch
from harness.servers import Servers

from headrace_elasticsearch.app import worker
from headrace_elasticsearch.beside import open_beside
from headrace_elasticsearch.client import connect
from headrace_elasticsearch.settings import ElasticsearchWorkerSettings

pytestmark = pytest.mark.servers


@pytest.fixture
async def settings(servers: Servers) -> AsyncIterator[ElasticsearchWorkerSettings]:
    made = servers.settings(ElasticsearchWorkerSettings, "elasticsearch", NAMESPACE=f"t{uuid4().hex[:10]}")
    yield made
    async with connect(made.elasticsearch) as client:
        await client.indices.delete(index=await physical(client, made))


async def test_a_rebuild_after_a_change_of_the_model_leaves_no_index_that_nobody_uses(
    settings: ElasticsearchWorkerSettings,
) -> None:
    other = settings.model_copy(update={"model": "multilingual-e5-small"})
    async with connect(settings.elasticsearch) as client:
        await prepared(settings)
        await rebuilt(settings)
        await prepared(other)
        before = await physical(client, settings)
        assert await rebuilt(other) == 3
        after = await physical(client, settings)
        assert len(after) == len(before) == 4
        # The link sets of the first model are where they were.
        assert [name for name in after if settings.model in name] == [name for name in before if settings.model in name]
        assert await state(other) == await state(settings) == "none"


async def prepared(settings: ElasticsearchWorkerSettings) -> None:
    store = worker.store(settings)
    await store.prepare()
    await store.close()


async def rebuilt(settings: ElasticsearchWorkerSettings) -> int:
    """The number of former indices that it has removed."""
    beside = open_beside(settings)
    await beside.create()
    await beside.switch()
    assert await beside.state() == "switched"
    removed = await beside.drop_old()
    await beside.close()
    return len(removed)


async def state(settings: ElasticsearchWorkerSettings) -> str:
    beside = open_beside(settings)
    found = await beside.state()
    await beside.close()
    return found


async def physical(client: AsyncElasticsearch, settings: ElasticsearchWorkerSettings) -> list[str]:
    return sorted((await client.indices.get(index=f"{settings.namespace}*")).body)
