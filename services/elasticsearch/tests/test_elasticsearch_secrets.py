"""No log and no error contains the API key or a value of a record."""

import logging
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web

from headrace_elasticsearch.client import connect
from headrace_elasticsearch.indices import indices
from headrace_elasticsearch.settings import ElasticsearchSettings, ElasticsearchWorkerSettings
from headrace_elasticsearch.stage import ElasticsearchStage
from headrace_worker.stage import Rejected, Unavailable
from headrace_worker.store_names import StoreNames

KEY = "bXktc2VjcmV0LWtleQ=="


@pytest.fixture
async def refusing_server() -> AsyncIterator[tuple[str, list[str]]]:
    """The URL of a server that refuses every request, and the Authorization headers that it received."""
    seen: list[str] = []

    async def refuse(request: web.Request) -> web.Response:
        seen.append(request.headers.get("Authorization", ""))
        error = {"error": {"type": "security_exception", "reason": f"unable to authenticate {seen[-1]}"}, "status": 401}
        return web.json_response(error, status=401, headers={"X-Elastic-Product": "Elasticsearch"})

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", refuse)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}", seen
    await runner.cleanup()


async def test_a_refused_key_is_unavailable_and_is_not_repeated_in_the_error_or_the_log(
    refusing_server: tuple[str, list[str]], product: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    url, seen = refusing_server
    async with connect(ElasticsearchSettings(url=url, api_key=KEY)) as client:
        with pytest.raises(Unavailable, match="401 security_exception") as caught:
            await ElasticsearchStage(client, indices(StoreNames("", "m"))).apply([product("a")])

    assert seen == [f"ApiKey {KEY}"]
    assert KEY not in str(caught.value)
    assert not caught.value.suspect
    assert KEY not in caplog.text


def test_the_key_is_in_no_repr(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADRACE_ELASTICSEARCH__API_KEY", KEY)
    settings = ElasticsearchWorkerSettings()

    assert settings.elasticsearch.api_key is not None
    assert settings.elasticsearch.api_key.get_secret_value() == KEY
    assert KEY not in repr(settings) + str(settings) + settings.model_dump_json()
    assert KEY not in repr(connect(settings.elasticsearch))


async def test_no_value_of_a_record_is_logged(
    stage: ElasticsearchStage, product: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    refused = product("a", title="wholly-private")
    refused.__dict__["price"] = "wholly-private"

    [outcome] = await stage.apply([refused])

    assert isinstance(outcome, Rejected)
    assert outcome.cause == ("elasticsearch", "document_parsing_exception", "price")
    assert "wholly-private" not in caplog.text
