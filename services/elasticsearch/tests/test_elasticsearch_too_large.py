"""A request that is too large is halved; a change that is too large alone is rejected."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import ClientSession, web
from elasticsearch import AsyncElasticsearch

from headrace_elasticsearch.client import connect
from headrace_elasticsearch.indices import Indices
from headrace_elasticsearch.settings import ElasticsearchSettings
from headrace_elasticsearch.stage import ElasticsearchStage
from headrace_elasticsearch.store import ElasticsearchStore
from headrace_worker.stage import Applied, Rejected

LIMIT = 20_000


@pytest.fixture
async def narrow_proxy(elasticsearch_settings: ElasticsearchSettings) -> AsyncIterator[AsyncElasticsearch]:
    """A client behind a proxy that refuses bodies of more than LIMIT bytes."""

    async def forward(request: web.Request) -> web.Response:
        body = await request.read()
        async with onward.request(
            request.method, elasticsearch_settings.url + request.path_qs, data=body, headers=request.headers
        ) as answer:
            kept = {name: answer.headers[name] for name in ("Content-Type", "X-Elastic-Product")}
            return web.Response(status=answer.status, body=await answer.read(), headers=kept)

    proxy = web.Application(client_max_size=LIMIT)
    proxy.router.add_route("*", "/{path:.*}", forward)
    runner = web.AppRunner(proxy)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    async with ClientSession() as onward, connect(ElasticsearchSettings(url=f"http://127.0.0.1:{port}")) as client:
        yield client
    await runner.cleanup()


async def test_a_request_over_the_limit_is_halved_until_the_change_that_is_too_large_is_found(
    narrow_proxy: AsyncElasticsearch, names: Indices, store: ElasticsearchStore, product: Any
) -> None:
    changes = [product(f"p{n}", description="x" * 900) for n in range(100)]
    changes[37] = product("p37", description="x" * (LIMIT + 1))

    outcomes = await ElasticsearchStage(narrow_proxy, names).apply(changes)

    refused = outcomes[37]
    assert isinstance(refused, Rejected)
    assert (refused.reason, refused.cause) == ("too_large", ("elasticsearch", "413"))
    assert [outcome for n, outcome in enumerate(outcomes) if n != 37] == [Applied()] * 99
    assert len(await store.get("product", [change.id for change in changes])) == 99
