"""PostgreSQL and Elasticsearch with TLS and accounts: what is wrong is one line that names a setting."""

import logging
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from harness.authority import Authority
from harness.servers import Servers
from harness.tls_front import tls_front

from headrace_clients.postgres import close_pool, new_pool
from headrace_clients.postgres_errors import postgres_errors
from headrace_clients.settings import PostgresSettings
from headrace_local.ports import HOST
from headrace_pgvector.settings import PgvectorSettings
from headrace_worker.stage import Unavailable
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
