"""Kafka with TLS and accounts: every client signs in, and what is wrong is one line that names a setting."""

import base64
import gc
import json
import logging
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aiokafka.admin import AIOKafkaAdminClient
from harness.authority import Authority
from harness.forked_command import inherited
from harness.live_workers import readiness, running
from harness.memory import MemoryStage, memory_worker
from harness.records import eventually, product, publish, read_all
from harness.secured_kafka import PASSWORD, USER, SecuredKafka, secured_kafka
from harness.token_issuer import CLIENT, SCOPE, SECRET, TokenIssuer

from headrace_cli.kafka_topics import apply_topics
from headrace_clients.kafka import client_options
from headrace_clients.kafka_obstacle import obstacle
from headrace_runtime import readiness as checks
from headrace_worker.settings import WorkerSettings

# aiokafka leaves a connection behind that is stopped while it signs in.
pytestmark = [
    pytest.mark.long,
    pytest.mark.servers,
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
WRONG = "canary-of-a-wrong-password"


@pytest.fixture(scope="module")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecuredKafka]:
    with secured_kafka(tmp_path_factory.mktemp("secured")) as running:
        yield running


@pytest.fixture(autouse=True)
def no_secret_in_the_log(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """At the level that a worker has for aiokafka; the worker never sets a finer one."""
    caplog.set_level(logging.INFO)
    yield
    gc.collect()
    for secret in (PASSWORD, WRONG, SECRET, token(60)[:20], TokenIssuer().token()[:20]):
        assert secret not in caplog.text


def token(seconds: float) -> str:
    """An unsigned JSON Web Token that expires then."""
    parts = ({"alg": "none"}, {"sub": USER, "iat": int(time.time()) - 60, "exp": int(time.time() + seconds)})
    return ".".join([base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts]) + "."


def settings(kafka: SecuredKafka, **values: Any) -> WorkerSettings:
    signed_in = {"sasl_mechanism": "SCRAM-SHA-512", "sasl_username": USER, "sasl_password": PASSWORD}
    encrypted = {"security_protocol": "SASL_SSL", "ssl_ca_file": str(kafka.authority.file)}
    found = {"bootstrap_servers": kafka.sasl, **encrypted, **signed_in, **values}
    return WorkerSettings.model_validate({"kafka": found, "topic_prefix": "secured."})


def ways_in(kafka: SecuredKafka, folder: Path) -> dict[str, dict[str, Any]]:
    (folder / "token").write_text(token(60) + "\n")
    certificate = str(kafka.authority.sign("client"))
    return {
        "PLAIN": {"sasl_mechanism": "PLAIN"},
        "SCRAM-SHA-256": {"sasl_mechanism": "SCRAM-SHA-256"},
        "SCRAM-SHA-512": {},
        "OAUTHBEARER": {"sasl_mechanism": "OAUTHBEARER", "sasl_token_file": str(folder / "token")},
        "certificate": {"security_protocol": "SSL", "bootstrap_servers": kafka.tls, "ssl_cert_file": certificate},
    }


async def test_every_kind_of_client_signs_in_in_every_way(kafka: SecuredKafka, tmp_path: Path) -> None:
    await apply_topics(settings(kafka), ["memory"])
    topic = settings(kafka).topics.source("product")
    for number, values in enumerate(ways_in(kafka, tmp_path).values(), 1):
        signed_in = settings(kafka, **values)
        assert await obstacle(signed_in.kafka) is None
        await publish(signed_in, topic, [product("p1", number)])
        assert len(await read_all(signed_in, topic)) == number
        admin = AIOKafkaAdminClient(**client_options(signed_in.kafka))
        await admin.start()
        assert topic in await admin.list_topics()
        await admin.close()


async def test_what_is_wrong_is_one_line_that_names_the_setting(kafka: SecuredKafka, tmp_path: Path) -> None:
    expired, empty = tmp_path / "expired", tmp_path / "empty"
    expired.write_text(token(-30))
    empty.write_text("\n")
    other = str(Authority.create(tmp_path / "other").file)
    by_token = {"sasl_mechanism": "OAUTHBEARER"}
    name = kafka.sasl.replace("127.0.0.1", "localhost")
    wrong: list[tuple[dict[str, Any], str, str]] = [
        *(({"sasl_mechanism": one, "sasl_password": WRONG}, "credentials", "HEADRACE_KAFKA__SASL_PASSWORD")
          for one in ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")),
        ({"sasl_username": "nobody"}, "credentials", "HEADRACE_KAFKA__SASL_USERNAME"),
        ({**by_token, "sasl_token_file": str(expired)}, "credentials", "HEADRACE_KAFKA__SASL_TOKEN_FILE"),
        ({**by_token, "sasl_token_file": str(empty)}, "credentials", "HEADRACE_KAFKA__SASL_TOKEN_FILE"),
        ({**by_token, "sasl_token_file": "/nowhere/token"}, "credentials", "HEADRACE_KAFKA__SASL_TOKEN_FILE"),
        ({**by_token, "sasl_token_url": "http://127.0.0.1:1/token"}, "credentials", "HEADRACE_KAFKA__SASL_TOKEN_URL"),
        ({"ssl_ca_file": other}, "tls", "HEADRACE_KAFKA__SSL_CA_FILE"),
        ({"ssl_ca_file": None}, "tls", "HEADRACE_KAFKA__SSL_CA_FILE"),
        ({"bootstrap_servers": name}, "tls", "the host in HEADRACE_KAFKA__BOOTSTRAP_SERVERS must be a name in the"),
        ({"security_protocol": "PLAINTEXT"}, "other", "HEADRACE_KAFKA__SECURITY_PROTOCOL=PLAINTEXT"),
        ({"security_protocol": "SSL", "bootstrap_servers": kafka.tls}, "tls", "HEADRACE_KAFKA__SSL_CERT_FILE"),
    ]  # fmt: skip
    for values, kind, words in wrong:
        found = await obstacle(settings(kafka, **values).kafka)
        assert found is not None, values
        assert (found.kind, words in found.detail) == (kind, True), found
        assert "\n" not in found.detail
        assert WRONG not in repr(found) + str(found)


def test_a_command_with_a_wrong_password_says_so_in_one_line(kafka: SecuredKafka, tmp_path: Path) -> None:
    (tmp_path / "password").write_text(f"{WRONG}\n")
    environment = {
        "HEADRACE_KAFKA__BOOTSTRAP_SERVERS": kafka.sasl,
        "HEADRACE_KAFKA__SECURITY_PROTOCOL": "SASL_SSL",
        "HEADRACE_KAFKA__SSL_CA_FILE": str(kafka.authority.file),
        "HEADRACE_KAFKA__SASL_USERNAME": USER,
        "HEADRACE_KAFKA__SASL_PASSWORD_FILE": str(tmp_path / "password"),
    }
    line = [sys.executable, "-m", "headrace_cli", "topics", "apply"]
    done = subprocess.run(
        line, env=inherited() | environment, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        f"headrace: kafka: Kafka at {kafka.sasl} refuses the credentials: check HEADRACE_KAFKA__SASL_USERNAME and "
        "HEADRACE_KAFKA__SASL_PASSWORD"
    ]


async def test_a_worker_waits_for_a_token_that_is_renewed_and_loses_nothing(
    kafka: SecuredKafka, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its token expires twice: before it starts, and while it works."""
    monkeypatch.setattr(checks, "CHECK_EVERY", 0.2)
    file, stage = tmp_path / "token", MemoryStage()
    file.write_text(token(-30))
    own = settings(kafka, sasl_mechanism="OAUTHBEARER", sasl_token_file=str(file))
    own.topic_prefix = "renewed."
    always = settings(kafka)
    always.topic_prefix = own.topic_prefix
    await apply_topics(always, ["memory"])
    topic = own.topics.source("product")

    async with running(memory_worker(stage), own) as application:

        async def refused() -> bool:
            problems = (await readiness(application))["problems"]
            return any("check HEADRACE_KAFKA__SASL_TOKEN_FILE" in problem for problem in problems)

        await eventually(refused)
        file.write_text(token(600))
        await publish(always, topic, [product("p1", 1)])
        await eventually(lambda: stage.versions() == {"p1": 1}, within=30)
        file.write_text(token(-30))
        await eventually(refused, within=30)
        await publish(always, topic, [product("p1", 2)])
        assert stage.versions() == {"p1": 1}
        file.write_text(token(600))
        await eventually(lambda: stage.versions() == {"p1": 2}, within=30)
        assert await read_all(always, always.topics.dead("memory")) == []


def by_server(kafka: SecuredKafka, url: str, **values: Any) -> WorkerSettings:
    """The settings with a client of the OAuth server at this URL."""
    client = {"sasl_token_url": url, "sasl_username": CLIENT, "sasl_password": SECRET, "sasl_token_scope": SCOPE}
    return settings(kafka, bootstrap_servers=kafka.oauth, sasl_mechanism="OAUTHBEARER", **{**client, **values})


async def test_every_kind_of_client_signs_in_with_the_tokens_of_an_oauth_server(kafka: SecuredKafka) -> None:
    """The clients of a process share one token."""
    always = settings(kafka)
    always.topic_prefix = "by-server."
    await apply_topics(always, ["memory"])
    topic, asked = always.topics.source("product"), kafka.issuer.asked
    async with kafka.issuer.serving(kafka.authority.server_context("issuer")) as url:
        own = by_server(kafka, url)
        assert await obstacle(own.kafka) is None
        await publish(own, topic, [product("p1", 1)])
        assert len(await read_all(own, topic)) == 1
        admin = AIOKafkaAdminClient(**client_options(own.kafka))
        await admin.start()
        assert topic in await admin.list_topics()
        await admin.close()
    assert kafka.issuer.asked == asked + 1


async def test_a_token_that_the_broker_refuses_is_a_wrong_account(kafka: SecuredKafka, tmp_path: Path) -> None:
    """The broker compares the signature, the time, the audience and the issuer of each token."""
    tokens = {
        "another key": TokenIssuer().token(),
        "expired": kafka.issuer.token(-30),
        "another audience": kafka.issuer.token(aud="another"),
        "another issuer": kafka.issuer.token(iss="https://another.example"),
        "right": kafka.issuer.token(),
    }
    found: dict[str, str | None] = {}
    for name, content in tokens.items():
        file = tmp_path / name
        file.write_text(content)
        by_file = {"sasl_mechanism": "OAUTHBEARER", "sasl_token_file": str(file)}
        problem = await obstacle(settings(kafka, bootstrap_servers=kafka.oauth, **by_file).kafka)
        found[name] = problem.kind if problem else None
        assert problem is None or "HEADRACE_KAFKA__SASL_TOKEN_FILE" in problem.detail
    assert found == dict.fromkeys(tokens, "credentials") | {"right": None}


async def test_a_worker_waits_for_an_oauth_server_that_refuses_it_and_loses_nothing(
    kafka: SecuredKafka, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is refused twice: before it starts, and when its token expires while it works."""
    monkeypatch.setattr(checks, "CHECK_EVERY", 0.2)
    monkeypatch.setattr(kafka.issuer, "lifetime", 4.0)
    always, stage = settings(kafka), MemoryStage()
    always.topic_prefix = "refused."
    await apply_topics(always, ["memory"])
    topic = always.topics.source("product")
    async with kafka.issuer.serving(kafka.authority.server_context("issuer")) as url:
        own = by_server(kafka, url)
        own.topic_prefix = always.topic_prefix
        kafka.issuer.refusing = True
        async with running(memory_worker(stage), own) as application:

            async def refused() -> bool:
                problems = (await readiness(application))["problems"]
                return any("gives no token (HTTP 401)" in problem for problem in problems)

            await eventually(refused)
            kafka.issuer.refusing = False
            await publish(always, topic, [product("p1", 1)])
            await eventually(lambda: stage.versions() == {"p1": 1}, within=30)
            kafka.issuer.refusing = True
            await eventually(refused, within=30)
            await publish(always, topic, [product("p1", 2)])
            assert stage.versions() == {"p1": 1}
            kafka.issuer.refusing = False
            await eventually(lambda: stage.versions() == {"p1": 2}, within=30)
    assert await read_all(always, always.topics.dead("memory")) == []
