"""Elasticsearch with its own security: users, API keys and TLS, and what is wrong with them."""

import asyncio
import base64
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from harness.authority import Authority
from harness.installation import Installation, open_installation, prepared
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
NEEDED: dict[str, Any] = {
    "cluster": ["monitor"],
    "indices": [{"names": ["products*", "keywords*", "product_keywords*"], "privileges": ["all"]}],
}
"""The rights that docs/connections.md asks for."""
READING: dict[str, Any] = {"cluster": ["monitor"], "indices": [{"names": ["*"], "privileges": ["read"]}]}


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecuredElasticsearch]:
    authority = Authority.create(tmp_path_factory.mktemp("authority") / "ours")
    with secured_elasticsearch(authority) as running:
        yield running


@pytest.fixture(autouse=True)
def no_secret_in_the_log(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    caplog.set_level(logging.DEBUG)
    yield
    for secret in (PASSWORD, WRONG):
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


async def test_an_api_key_needs_no_more_rights_than_the_page_says(
    servers: Servers, secured: SecuredElasticsearch
) -> None:
    """Every command and the worker use it: they prepare, write, search, scan and read."""
    key = secured.api_key("whole", NEEDED)
    async with open_installation(servers, "elasticsearch") as installation:
        point_to(installation, secured, key)
        worker = load_worker("elasticsearch")
        settings = installation.settings_of(worker)
        store = await prepared(worker, settings)
        assert worker.scan is not None
        scan = worker.scan(settings)
        try:
            async with running(worker, settings):
                await publish(settings, settings.topics.source("product"), [product("k1", 1), product("k2", 1)])
                await eventually(lambda: has_versions(store, {"k1": 1, "k2": 1}))
            await scan.refresh()
            rows = [row.stored.id async for page in scan.pages("product") for row in page.rows]
            assert {"k1", "k2"} <= set(rows)
            assert await store.live_count("product") >= 2
        finally:
            await scan.close()
            await store.close()


async def test_an_api_key_that_is_wrong_or_expired_or_taken_back_is_refused(secured: SecuredElasticsearch) -> None:
    url, trust = secured.url, {"ca_file": str(secured.authority.file)}
    short, gone = secured.api_key("short", NEEDED, "1s"), secured.api_key("gone", NEEDED)
    secured.invalidate(gone)
    await asyncio.sleep(1.5)
    unknown = base64.b64encode(f"id:{WRONG}".encode()).decode()
    for encoded in (unknown, short["encoded"], gone["encoded"], "not base64"):
        await check_refused(url, {"api_key": encoded, **trust}, "credentials", "check HEADRACE_ELASTICSEARCH__API_KEY")
    reader = secured.api_key("reader", READING)
    await check_refused(url, {"api_key": reader["encoded"], **trust}, "credentials", "give the rights that are missing")


async def test_a_worker_whose_key_is_taken_back_waits_and_its_next_start_with_a_new_key_loses_nothing(
    servers: Servers, secured: SecuredElasticsearch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checks, "CHECK_EVERY", 0.2)
    first, second = secured.api_key("first", NEEDED), secured.api_key("second", NEEDED)
    file = tmp_path / "key"
    async with open_installation(servers, "elasticsearch") as installation:
        point_to(installation, secured, first)
        worker = load_worker("elasticsearch")
        store = await prepared(worker, installation.settings_of(worker))
        del installation.variables["ELASTICSEARCH__API_KEY"]
        installation.variables["ELASTICSEARCH__API_KEY_FILE"] = str(file)
        file.write_text(first["encoded"] + "\n")
        settings = installation.settings_of(worker)
        topic = settings.topics.source("product")
        async with running(worker, settings) as application:
            await publish(settings, topic, [product("w1", 1)])
            await eventually(lambda: has_versions(store, {"w1": 1}))
            secured.invalidate(first)
            await publish(settings, topic, [product("w1", 2)])

            async def refused() -> bool:
                problems = (await readiness(application))["problems"]
                return any("check HEADRACE_ELASTICSEARCH__API_KEY" in problem for problem in problems)

            await eventually(refused, within=60)
            assert await healthy(application)
        await store.close()
        file.write_text(second["encoded"] + "\n")
        settings = installation.settings_of(worker)
        store = await prepared(worker, settings)
        assert await has_versions(store, {"w1": 1})
        async with running(worker, settings):
            await eventually(lambda: has_versions(store, {"w1": 2}), within=60)
        await store.close()
        assert await installation.letters("elasticsearch") == []


def point_to(installation: Installation, secured: SecuredElasticsearch, key: dict[str, str]) -> None:
    """The installation's workers use this server with this key."""
    installation.variables = {
        "ELASTICSEARCH__URL": secured.url,
        "ELASTICSEARCH__CA_FILE": str(secured.authority.file),
        "ELASTICSEARCH__API_KEY": key["encoded"],
    }


async def has_versions(store: Any, versions: dict[str, int]) -> bool:
    """Whether the store has the products at these versions."""
    found = await store.get("product", list(versions))
    return {id: one.version for id, one in found.items()} == versions
