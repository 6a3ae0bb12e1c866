"""A malformed DSN is refused, and the error does not quote it."""

import pytest
from pydantic import SecretStr, ValidationError

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
    assert PostgresSettings(dsn=SecretStr(dsn)).dsn.get_secret_value() == dsn


@pytest.mark.parametrize("dsn", UNREADABLE)
def test_an_unreadable_dsn_is_refused_without_its_password(dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADRACE_POSTGRES__DSN", dsn)
    with pytest.raises(ValidationError, match=r"it is not of the form postgresql://user:password@") as caught:
        PgvectorSettings()
    assert "postgres.dsn" in str(caught.value)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("sslmode=verify_full", "its sslmode is none of disable, allow"),
        ("sslmode=verify-full&sslrootcert=/nowhere/ca.pem", "its sslrootcert /nowhere/ca.pem: No such file"),
        (f"sslmode=verify-ca&sslrootcert={__file__}", "is not a PEM file of certificates"),
        ("sslmode=require&channel_binding=require", "leave channel_binding out"),
    ],
)
def test_a_wrong_option_of_a_dsn_is_named_at_the_start(
    options: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEADRACE_POSTGRES__DSN", f"postgresql://user:hunter2@db.example/headrace?{options}")
    with pytest.raises(ValidationError, match=r"postgres\.dsn") as caught:
        PgvectorSettings()
    assert words in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_the_dsn_is_in_no_repr_of_the_settings() -> None:
    settings = PgvectorSettings(postgres=PostgresSettings(dsn=SecretStr("postgresql://u:hunter2@h/d")))
    assert "hunter2" not in f"{settings} {settings!r} {settings.model_dump()} {settings.model_dump_json()}"
