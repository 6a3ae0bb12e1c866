"""Elasticsearch with its own security: users and TLS, and what is wrong with them."""

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from harness.authority import Authority
from harness.records import product
from harness.secured_elasticsearch import PASSWORD, SecuredElasticsearch, secured_elasticsearch

from headrace_elasticsearch.client import connect
from headrace_elasticsearch.indices import indices
from headrace_elasticsearch.preparation import prepare
from headrace_elasticsearch.settings import ElasticsearchSettings
from headrace_elasticsearch.stage import ElasticsearchStage
from headrace_local.ports import HOST
from headrace_schemas.changes import ProductChange
from headrace_worker.stage import Applied, Outcome, Unavailable
from headrace_worker.store_names import StoreNames

pytestmark = [pytest.mark.servers, pytest.mark.long]
WRONG = "canary-of-a-wrong-password"
NAMES = StoreNames("", "m")


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
