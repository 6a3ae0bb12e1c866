"""PostgreSQL and Elasticsearch with TLS and accounts: what is wrong is one line that names a setting."""

import base64
import hashlib
import logging
import re
import secrets
import ssl
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from harness.authority import Authority
from harness.servers import Servers
from harness.tls_front import tls_front

from headrace_clients.postgres import close_pool, new_pool
from headrace_clients.postgres_errors import postgres_errors
from headrace_clients.settings import PostgresSettings
from headrace_elasticsearch.client import connect
from headrace_elasticsearch.indices import indices
from headrace_elasticsearch.preparation import prepare
from headrace_elasticsearch.settings import ElasticsearchSettings
from headrace_elasticsearch.stage import ElasticsearchStage
from headrace_local.elasticsearch import Elasticsearch
from headrace_local.ports import HOST, free_ports
from headrace_local.process import launch
from headrace_local.startup import await_ready
from headrace_local.system_user import unprivileged
from headrace_pgvector.settings import PgvectorSettings
from headrace_schemas.changes import ProductChange
from headrace_worker.stage import Applied, Outcome, Unavailable
from headrace_worker.store_names import StoreNames

pytestmark = pytest.mark.servers
PASSWORD, WRONG = "canary-of-a-password-50d2", "canary-of-a-wrong-password"
NAMES = StoreNames("", "m")


@pytest.fixture(autouse=True)
def no_secret_in_the_log(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    caplog.set_level(logging.DEBUG)
    yield
    for secret in (PASSWORD, WRONG):
        assert secret not in caplog.text


async def asked(dsn: str) -> Unavailable | None:
    """Why PostgreSQL cannot be asked with this DSN; None if it can."""
    pool = new_pool(PostgresSettings.model_validate({"dsn": dsn, "timeout": 10}), "public", 1)
    try:
        with postgres_errors():
            await pool
            await pool.fetchval("SELECT 1")
    except Unavailable as error:
        return error
    finally:
        await close_pool(pool)
    return None


async def test_what_is_wrong_with_a_connection_to_postgresql(servers: Servers, tmp_path: Path) -> None:
    dsn = servers.settings(PgvectorSettings, "postgres").postgres.dsn.get_secret_value()
    at = re.fullmatch(r"postgresql://(\w+):(\w+)@127\.0\.0\.1:(\d+)/(\w+)", dsn)
    assert at is not None
    user, password, port, database = at.groups()
    ours, theirs = Authority.create(tmp_path / "ours"), Authority.create(tmp_path / "theirs")
    late = ours.server_context("late", days=-1)

    def through(port: int, host: str = HOST, trusted: Authority = ours, account: str = f"{user}:{password}") -> str:
        return f"postgresql://{account}@{host}:{port}/{database}?sslmode=verify-full&sslrootcert={trusted.file}"

    async with tls_front(int(port), ours.server_context("node"), postgres=True) as front:
        assert await asked(through(front)) is None
        wrong = [
            (
                through(front, account=f"{user}:{WRONG}"),
                "credentials",
                "the user and the password in HEADRACE",
            ),
            (through(front).replace(f"/{database}?", "/nothing?"), "credentials", "the database in HEADRACE_POSTGRES"),
            (through(front, trusted=theirs), "tls", "check sslrootcert in HEADRACE_POSTGRES__DSN"),
            (through(front, host="localhost"), "tls", "the host in HEADRACE_POSTGRES__DSN must be a name in the"),
            (through(int(port)), "tls", "the server has no TLS: check sslmode in HEADRACE_POSTGRES__DSN"),
        ]
        for one, kind, words in wrong:
            found = await asked(one)
            assert found is not None, words
            assert (found.kind, words in found.detail) == (kind, True), found
            assert WRONG not in str(found) + repr(found)
            assert password not in str(found) + repr(found)
    async with tls_front(int(port), late, postgres=True) as front:
        found = await asked(through(front))
        assert found is not None
        assert "expired" in found.detail


@contextmanager
def secured_elasticsearch(home: Path, authority: Authority) -> Iterator[str]:
    """Its URL. Two users with the password: `headrace` with every right, `reader` without the right to write."""
    http, transport = free_ports(2)
    server = Elasticsearch("elasticsearch", home, {"http": http, "transport": transport})
    server.install()
    server.prepare()
    config = home / "config"
    authority.sign("elasticsearch")
    chain = (authority.home / "elasticsearch.crt").read_text() + authority.file.read_text()
    (config / "node.crt").write_text(chain)
    (config / "node.key").write_text((authority.home / "elasticsearch.key").read_text())
    (config / "users").write_text(f"headrace:{_hashed(PASSWORD)}\nreader:{_hashed(PASSWORD)}\n")
    (config / "users_roles").write_text("superuser:headrace\nmonitoring_user:reader\n")
    for file in config.iterdir():
        if file.is_file():
            file.chmod(0o644)
    if user := unprivileged():
        user.owns(config)
    secured = {
        "xpack.security.enabled": "true",
        "xpack.security.authc.password_hashing.algorithm": "pbkdf2",
        "xpack.security.transport.ssl.enabled": "false",
        "xpack.security.http.ssl.enabled": "true",
        "xpack.security.http.ssl.certificate": "node.crt",
        "xpack.security.http.ssl.key": "node.key",
    }
    command = server.command()
    argv = [part for part in command.argv if "xpack.security" not in part]
    argv += [f"-E{name}={value}" for name, value in secured.items()]
    log, url = home / "server.log", f"https://{HOST}:{http}"
    process = launch(replace(command, argv=argv), home, log)
    try:
        await_ready(_Answering(server, url, authority), process, log, threading.Event())  # type: ignore[arg-type]
        yield url
    finally:
        process.kill()


class _Answering:
    """The server, which is ready when it lets the user in."""

    def __init__(self, server: Elasticsearch, url: str, authority: Authority) -> None:
        self.name = server.name
        self._url = url
        self._authority = authority

    def is_ready(self) -> bool:
        return lets_in(self._url, self._authority)


def _hashed(password: str) -> str:
    """As Elasticsearch writes it: PBKDF2, 10,000 rounds of HMAC-SHA-512, a salt and a key of 32 bytes."""
    salt = secrets.token_bytes(32)
    key = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, 10_000, 32)
    return "{PBKDF2}10000$" + "$".join(base64.b64encode(part).decode() for part in (salt, key))


def lets_in(url: str, authority: Authority) -> bool:
    """Whether Elasticsearch answers the user `headrace`."""
    account = base64.b64encode(f"headrace:{PASSWORD}".encode()).decode()
    asking = urllib.request.Request(f"{url}/_security/_authenticate", headers={"Authorization": f"Basic {account}"})
    trust = ssl.create_default_context(cafile=str(authority.file))
    try:
        with urllib.request.urlopen(asking, context=trust) as answer:
            return bool(answer.status == 200)
    except urllib.error.HTTPError as error:
        error.close()
        return False
    except OSError:
        return False


async def written(url: str, **values: Any) -> Sequence[Outcome]:
    """The outcomes of one change with these settings. Raises Unavailable."""
    settings = ElasticsearchSettings.model_validate({"url": url, "timeout": 10, **values})
    change = ProductChange.model_validate(
        {"op": "upsert", "product_id": "p1", "version": 1, "occurred_at": "2026-01-01T00:00:00Z", "title": "one"}
    )
    async with connect(settings) as client:
        return await ElasticsearchStage(client, indices(NAMES)).apply([change])


@pytest.mark.long
async def test_elasticsearch_with_its_own_security(tmp_path_factory: pytest.TempPathFactory, tmp_path: Path) -> None:
    ours, theirs = Authority.create(tmp_path / "ours"), Authority.create(tmp_path / "theirs")
    home = tmp_path_factory.mktemp("elasticsearch")
    for folder in (home, *home.parents[:2]):
        folder.chmod(0o755)
    with secured_elasticsearch(home, ours) as url:
        by_user: dict[str, Any] = {"username": "headrace", "password": PASSWORD, "ca_file": str(ours.file)}
        async with connect(ElasticsearchSettings.model_validate({"url": url, **by_user})) as client:
            for index in indices(NAMES).values():
                await prepare(client, index)
        pinned = {"username": "headrace", "password": PASSWORD, "ca_fingerprint": ours.fingerprint}
        for values in (by_user, pinned):
            assert await written(url, **values) == [Applied()]
        unknown = {"api_key": base64.b64encode(f"id:{WRONG}".encode()).decode(), "ca_file": str(ours.file)}
        wrong = [
            (by_user | {"password": WRONG}, "credentials", "check HEADRACE_ELASTICSEARCH__API_KEY, or"),
            (unknown, "credentials", "check HEADRACE_ELASTICSEARCH__API_KEY, or"),
            ({"ca_file": str(ours.file)}, "credentials", "check HEADRACE_ELASTICSEARCH__API_KEY, or"),
            (by_user | {"username": "reader"}, "credentials", "give the rights that are missing to the owner of"),
            (by_user | {"ca_file": str(theirs.file)}, "tls", "check HEADRACE_ELASTICSEARCH__CA_FILE"),
            (pinned | {"ca_fingerprint": theirs.fingerprint}, "tls", "check HEADRACE_ELASTICSEARCH__CA_FIN"),
        ]
        for values, kind, words in wrong:
            try:
                [found] = await written(url, **values)
            except Unavailable as raised:
                found = raised
            assert isinstance(found, Unavailable), (values, found)
            assert (found.kind, words in found.detail) == (kind, True), found
            assert not any(secret in str(found) for secret in (WRONG, PASSWORD))
        named = url.replace(HOST, "localhost")
        with pytest.raises(Unavailable, match="the host in HEADRACE_ELASTICSEARCH__URL must be a name"):
            await written(named, **by_user)
        with pytest.raises(Unavailable):
            await written(url.replace("https", "http"), username="headrace", password=PASSWORD)
