"""Elasticsearch with users, API keys and TLS, and what is wrong with them."""

import base64
import logging
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from harness.authority import Authority
from harness.installation import open_installation, prepared
from harness.key_front import KeyFront, key_front
from harness.live_workers import healthy, readiness, running
from harness.records import eventually, product, publish
from harness.secured_elasticsearch import PASSWORD, SecuredElasticsearch, secured_elasticsearch
from harness.servers import Servers

from headrace_elasticsearch.client import connect
from headrace_elasticsearch.indices import indices
from headrace_elasticsearch.preparation import prepare
from headrace_elasticsearch.settings import ElasticsearchSettings
from headrace_elasticsearch.stage import ElasticsearchStage
from headrace_local.ports import HOST
from headrace_runtime import readiness as checks
from headrace_schemas.changes import ProductChange
from headrace_worker.stage import Applied, Outcome, Unavailable
from headrace_worker.store_names import StoreNames
from headrace_worker.worker import load_worker

pytestmark = [pytest.mark.servers, pytest.mark.long]
WRONG = "canary-of-a-wrong-password"
NAMES = StoreNames("", "m")
FIRST, SECOND, READER = (base64.b64encode(f"{name}:canary-of-a-key-6d21".encode()).decode() for name in "abc")


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecuredElasticsearch]:
    authority = Authority.create(tmp_path_factory.mktemp("authority") / "ours")
    with secured_elasticsearch(authority) as running:
        yield running


@pytest.fixture(autouse=True)
def no_secret_in_the_log(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    caplog.set_level(logging.DEBUG)
    yield
    for secret in (PASSWORD, WRONG, FIRST, SECOND, READER):
        assert secret not in caplog.text


async def written(url: str, **values: Any) -> Sequence[Outcome]:
    """The outcomes of one change with these settings. Raises Unavailable."""
    settings = ElasticsearchSettings.model_validate({"url": url, "timeout": 10, **values})
    change = ProductChange.model_validate(product("p1", 1))
    async with connect(settings) as client:
        return await ElasticsearchStage(client, indices(NAMES)).apply([change])


async def check_refused(url: str, values: dict[str, Any], kind: str, words: str) -> None:
    """A change is Unavailable with these words, and without a secret."""
    try:
        [found] = await written(url, **values)
    except Unavailable as raised:
        found = raised
    assert isinstance(found, Unavailable), (values, found)
    assert (found.kind, words in found.detail) == (kind, True), found
    assert "\n" not in found.detail
    secrets = [WRONG, PASSWORD, *([values["api_key"]] if "api_key" in values else [])]
    assert not any(secret in str(found) + repr(found) for secret in secrets)


async def test_a_user_and_the_authority_are_checked(secured: SecuredElasticsearch, tmp_path: Path) -> None:
    url, ours = secured.url, secured.authority
    theirs = Authority.create(tmp_path / "theirs")
    by_user: dict[str, Any] = {"username": "headrace", "password": PASSWORD, "ca_file": str(ours.file)}
    async with connect(ElasticsearchSettings.model_validate({"url": url, **by_user})) as client:
        for index in indices(NAMES).values():
            await prepare(client, index)
    pinned = {"username": "headrace", "password": PASSWORD, "ca_fingerprint": ours.fingerprint}
    for values in (by_user, pinned):
        assert await written(url, **values) == [Applied()]
    for values, kind, words in [
        (by_user | {"password": WRONG}, "credentials", "check HEADRACE_ELASTICSEARCH__API_KEY, or"),
        ({"ca_file": str(ours.file)}, "credentials", "check HEADRACE_ELASTICSEARCH__API_KEY, or"),
        (by_user | {"username": "reader"}, "credentials", "give the rights that are missing to the owner of"),
        (by_user | {"ca_file": str(theirs.file)}, "tls", "check HEADRACE_ELASTICSEARCH__CA_FILE"),
        (pinned | {"ca_fingerprint": theirs.fingerprint}, "tls", "check HEADRACE_ELASTICSEARCH__CA_FIN"),
    ]:
        await check_refused(url, values, kind, words)
    named = url.replace(HOST, "localhost")
    await check_refused(named, by_user, "tls", "the host in HEADRACE_ELASTICSEARCH__URL must be a name")
    with pytest.raises(Unavailable):
        await written(url.replace("https", "http"), username="headrace", password=PASSWORD)


@pytest.fixture
async def front(servers: Servers, secured: SecuredElasticsearch) -> AsyncIterator[KeyFront]:
    """Checks keys in front of an Elasticsearch without security."""
    url = servers.need("elasticsearch")["HEADRACE_ELASTICSEARCH__URL"]
    context = secured.authority.server_context("front")
    async with key_front(url, context, {FIRST, SECOND, READER}, {READER}) as running:
        yield running


async def test_an_api_key_that_is_wrong_or_lacks_rights_is_refused(
    secured: SecuredElasticsearch, front: KeyFront
) -> None:
    trust = {"ca_file": str(secured.authority.file)}
    unknown = base64.b64encode(f"id:{WRONG}".encode()).decode()
    for url in (secured.url, front.url):
        await check_refused(
            url, {"api_key": unknown, **trust}, "credentials", "check HEADRACE_ELASTICSEARCH__API_KEY, or"
        )
    await check_refused(front.url, {"api_key": READER, **trust}, "credentials", "give the rights that are missing")


async def test_a_worker_whose_key_is_taken_back_waits_and_its_next_start_with_a_new_key_loses_nothing(
    servers: Servers, secured: SecuredElasticsearch, front: KeyFront, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checks, "CHECK_EVERY", 0.2)
    file = tmp_path / "key"
    file.write_text(FIRST + "\n")
    async with open_installation(servers, "elasticsearch") as installation:
        installation.variables = {
            "NAMESPACE": "keys",
            "ELASTICSEARCH__URL": front.url,
            "ELASTICSEARCH__CA_FILE": str(secured.authority.file),
            "ELASTICSEARCH__API_KEY_FILE": str(file),
        }
        worker = load_worker("elasticsearch")
        settings = installation.settings_of(worker)
        store, topic = await prepared(worker, settings), settings.topics.source("product")
        async with running(worker, settings) as application:
            await publish(settings, topic, [product("w1", 1)])
            await eventually(lambda: has_version(store, 1))
            front.keys.remove(FIRST)
            await publish(settings, topic, [product("w1", 2)])

            async def refused() -> bool:
                problems = (await readiness(application))["problems"]
                return any("check HEADRACE_ELASTICSEARCH__API_KEY" in problem for problem in problems)

            await eventually(refused, within=60)
            assert await healthy(application)
        await store.close()
        file.write_text(SECOND + "\n")
        settings = installation.settings_of(worker)
        store = await prepared(worker, settings)
        assert await has_version(store, 1)
        async with running(worker, settings):
            await eventually(lambda: has_version(store, 2), within=60)
        await store.close()
        assert await installation.letters("elasticsearch") == []


async def has_version(store: Any, version: int) -> bool:
    """Whether the store has the product at this version."""
    return [one.version for one in (await store.get("product", ["w1"])).values()] == [version]
