"""A malformed DSN is refused, and the error does not quote it."""

import pytest
from pydantic import SecretStr

from headrace_clients.postgres import checked_dsn
from headrace_clients.settings import PostgresSettings
from headrace_pgvector.settings import PgvectorSettings

READABLE = [
    "postgresql://postgres@127.0.0.1:5432/postgres",
    "postgres://user:p%23ss@db.example/headrace?sslmode=verify-full",
    "postgresql://user:secret@[::1]:5432/db",
    "postgresql://user:secret@one:5432,two:5433/db?target_session_attrs=read-write",
    "postgresql://?host=/run/postgresql&user=me",
]
UNREADABLE = [
    "postgresql://user:hunter2#x@127.0.0.1:5432/db",
    "postgresql://user:hunter2/x@127.0.0.1:5432/db",
    "postgresql://user:hunter2?x@127.0.0.1/db",
    "postgresql://user:hunter2@x@127.0.0.1/db",
    "mysql://user:hunter2@127.0.0.1/db",
    "user:hunter2@127.0.0.1",
    "",
]


@pytest.mark.parametrize("dsn", READABLE)
def test_a_valid_dsn_is_accepted(dsn: str) -> None:
    assert checked_dsn(PostgresSettings(dsn=SecretStr(dsn))) == dsn


@pytest.mark.parametrize("dsn", UNREADABLE)
def test_an_unreadable_dsn_is_refused_without_its_password(dsn: str) -> None:
    with pytest.raises(ValueError, match="HEADRACE_POSTGRES__DSN") as caught:
        checked_dsn(PostgresSettings(dsn=SecretStr(dsn)))
    assert "hunter2" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_the_dsn_is_in_no_repr_of_the_settings() -> None:
    settings = PgvectorSettings(postgres=PostgresSettings(dsn=SecretStr("postgresql://u:hunter2@h/d")))
    assert "hunter2" not in f"{settings} {settings!r} {settings.model_dump()} {settings.model_dump_json()}"
