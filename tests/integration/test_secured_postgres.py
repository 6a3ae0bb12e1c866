"""PostgreSQL with TLS and accounts: what is wrong is one line that names a setting, and a worker waits."""

import logging
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from harness.authority import Authority
from harness.installation import open_installation, prepared
from harness.live_workers import healthy, readiness, running
from harness.records import eventually
from harness.secured_postgres import PASSWORD, SecuredPostgres, programs, secured_postgres
from harness.servers import Servers, settings_in
from harness.tls_front import tls_front
from harness.verification import embedded, upsert

from headrace_cli.kafka_topics import apply_topics
from headrace_clients.kafka import producer
from headrace_clients.postgres import close_pool, new_pool
from headrace_clients.postgres_errors import postgres_errors
from headrace_clients.settings import PostgresSettings
from headrace_local.ports import HOST
from headrace_pgvector.settings import PgvectorSettings
from headrace_runtime import readiness as checks
from headrace_worker.stage import Unavailable
from headrace_worker.worker import load_worker

pytestmark = pytest.mark.servers
WRONG = "canary-of-a-wrong-password"
ACCOUNT = "the user and the password in HEADRACE_POSTGRES__DSN"
AUTHORITY = "check sslrootcert in HEADRACE_POSTGRES__DSN"


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


async def check_refused(dsn: str, kind: str, words: str) -> None:
    """Nothing is asked with this DSN, and one line with these words says why, without the password."""
    found = await asked(dsn)
    assert found is not None, words
    assert (found.kind, words in found.detail) == (kind, True), found
    assert "\n" not in found.detail
    password = dsn.partition("@")[0].rpartition(":")[2]
    assert password not in str(found) + repr(found)


async def test_what_is_wrong_with_a_connection_to_postgresql(servers: Servers, tmp_path: Path) -> None:
    """A front ends TLS, because the server that this project installs is built without it."""
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
        for wrong, kind, words in [
            (through(front, account=f"{user}:{WRONG}"), "credentials", ACCOUNT),
            (through(front).replace(f"/{database}?", "/nothing?"), "credentials", "the database in HEADRACE_POSTGRES"),
            (through(front, trusted=theirs), "tls", AUTHORITY),
            (through(front, host="localhost"), "tls", "the host in HEADRACE_POSTGRES__DSN must be a name in the"),
            (through(int(port)), "tls", "the server has no TLS: check sslmode in HEADRACE_POSTGRES__DSN"),
        ]:
            await check_refused(wrong, kind, words)
    async with tls_front(int(port), late, postgres=True) as front:
        await check_refused(through(front), "tls", "expired")


@pytest.fixture
def secured(tmp_path: Path) -> Iterator[SecuredPostgres]:
    binaries = programs()
    if binaries is None:
        pytest.skip("needs a server that is built with TLS: install Debian's package postgresql")
    with secured_postgres(Authority.create(tmp_path / "ours"), binaries) as running:
        yield running


@pytest.mark.long
async def test_postgresql_with_its_own_tls(secured: SecuredPostgres, tmp_path: Path) -> None:
    ours, theirs = secured.authority, Authority.create(tmp_path / "theirs")
    trusting = {"sslrootcert": str(ours.file)}
    certificate = {"sslcert": str(ours.home / "client.crt"), "sslkey": str(ours.home / "client.key")}
    ours.sign("client", subject="certified")
    for mode in ("require", "verify-ca", "verify-full"):
        assert await asked(secured.dsn(sslmode=mode, **trusting)) is None, mode
    assert await asked(secured.dsn(host="localhost", sslmode="verify-ca", **trusting)) is None
    assert await asked(secured.dsn("certified", None, sslmode="verify-full", **trusting, **certificate)) is None
    full = {"sslmode": "verify-full", **trusting}
    host_name = "the host in HEADRACE_POSTGRES__DSN must be a name in the certificate"
    for dsn, kind, words in [
        (secured.dsn(password=WRONG, **full), "credentials", ACCOUNT),
        (secured.dsn("nobody_has_this_name", **full), "credentials", ACCOUNT),
        (secured.dsn("expired", **full), "credentials", ACCOUNT),
        (secured.dsn("certified", WRONG, **full), "credentials", "check the user, the password"),
        (secured.dsn(host="localhost", **full), "tls", host_name),
        (secured.dsn(sslmode="verify-full", sslrootcert=str(theirs.file)), "tls", AUTHORITY),
        (secured.dsn(sslmode="verify-ca", sslrootcert=str(theirs.file)), "tls", AUTHORITY),
        (secured.dsn(sslmode="disable"), "credentials", "sslmode in HEADRACE_POSTGRES__DSN"),
    ]:
        await check_refused(dsn, kind, words)
    secured.present("late", days=-1)
    await check_refused(secured.dsn(**full), "tls", "expired")
    secured.present("renewed")
    assert await asked(secured.dsn(**full)) is None


@pytest.mark.long
async def test_a_worker_whose_account_has_expired_waits_and_loses_nothing(
    servers: Servers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its password expires twice: before it starts, and while it works. It is in a file."""
    monkeypatch.setattr(checks, "CHECK_EVERY", 0.2)
    worker = load_worker("pgvector")
    async with open_installation(servers, "pgvector") as installation:
        dsn = installation.environment["HEADRACE_POSTGRES__DSN"]
        installation.variables = {"NAMESPACE": "accounts", "MODEL": "m", "DIMENSION": "8", "POSTGRES__DSN": dsn}
        await apply_topics(installation.settings_of(worker), ["pgvector"])
        store = await prepared(worker, installation.settings_of(worker))
        admin = await asyncpg.connect(dsn)
        await admin.execute(f"CREATE ROLE renewed SUPERUSER LOGIN PASSWORD '{PASSWORD}' VALID UNTIL '2020-01-01'")
        (tmp_path / "dsn").write_text(re.sub("//[^@]*@", f"//renewed:{PASSWORD}@", dsn) + "\n")
        environment = {name: value for name, value in installation.environment.items() if "DSN" not in name}
        del installation.variables["POSTGRES__DSN"]
        installation.variables["POSTGRES__DSN_FILE"] = str(tmp_path / "dsn")
        own: Any = settings_in(environment, worker.settings, **installation.variables)

        async def published(version: int) -> None:
            record = embedded(upsert("product", "a", version), own.model)
            client = producer(own.kafka)
            await client.start()
            value = record.model_dump_json(exclude_none=True).encode()
            await client.send_and_wait(own.topics.embedded("product", own.model), value, key=b"a")
            await client.stop()

        async def stored() -> int:
            return sum(one.version for one in (await store.get("product", ["a"])).values())

        async with running(worker, own) as application:

            async def refused() -> bool:
                problems = (await readiness(application))["problems"]
                return any(f"check {ACCOUNT}" in problem for problem in problems)

            async def has(version: int) -> bool:
                return await stored() == version

            await published(1)
            await eventually(refused)
            assert await healthy(application)
            await admin.execute("ALTER ROLE renewed VALID UNTIL 'infinity'")
            await eventually(lambda: has(1), within=60)
            await admin.execute("ALTER ROLE renewed VALID UNTIL '2020-01-01'")
            await disconnected(admin, "renewed")
            await published(2)
            await eventually(refused)
            assert await stored() == 1
            await admin.execute("ALTER ROLE renewed VALID UNTIL 'infinity'")
            await eventually(lambda: has(2), within=60)
        await admin.close()
        await store.close()
        assert await installation.letters("pgvector") == []


async def disconnected(admin: Any, user: str) -> None:
    """Ends the connections of a user."""
    await admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = $1", user)
