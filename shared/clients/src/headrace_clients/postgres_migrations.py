"""Migrations of a service's tables."""

import re
from collections.abc import Awaitable, Callable, Iterator
from importlib.resources import files
from typing import NamedTuple

import asyncpg

from headrace_clients.postgres import Connection
from headrace_clients.postgres_errors import STORE, postgres_errors
from headrace_clients.settings import PostgresSettings

LOCK = 0x68656164726163  # "headrac"; any number, but the same for every migration
LONGEST_MIGRATION = 3600.0


class Migration(NamedTuple):
    """One numbered SQL file."""

    number: int
    name: str
    sql: str

    def in_schema(self, schema: str) -> str:
        """The statements for this schema. The file names the schema `headrace`, so that it is valid SQL."""
        return re.sub(r"\bheadrace\.", f"{schema}.", self.sql)


def migrations(package: str) -> Iterator[Migration]:
    """The SQL files in the folder `migrations` of a package, in order."""
    for file in sorted(files(package).joinpath("migrations").iterdir(), key=lambda file: file.name):
        if file.name.endswith(".sql"):
            name = file.name.removesuffix(".sql")
            yield Migration(int(name.split("_")[0]), name, file.read_text(encoding="utf-8"))


async def migrate(
    settings: PostgresSettings,
    schema: str,
    service: str,
    package: str,
    and_then: Callable[[Connection], Awaitable[list[str]]] | None = None,
) -> list[str]:
    """Applies the missing migrations of a service in one transaction. It can be repeated, and two can run at once.

    `and_then`: creates further things of the service, in the same transaction. Returns one line for each thing that was
    created. Raises Unavailable.
    """
    with postgres_errors():
        connection = await asyncpg.connect(
            settings.dsn.get_secret_value(),
            timeout=settings.timeout,
            command_timeout=LONGEST_MIGRATION,
            server_settings={"search_path": schema},
        )
        try:
            async with connection.transaction():
                await connection.execute("SELECT pg_advisory_xact_lock($1)", LOCK)
                made = await _apply_missing(connection, schema, service, package)
                if and_then is not None:
                    made += await and_then(connection)
                return made
        finally:
            connection.terminate()


async def _apply_missing(connection: Connection, schema: str, service: str, package: str) -> list[str]:
    await connection.execute(f"""
        CREATE SCHEMA IF NOT EXISTS {schema};
        CREATE TABLE IF NOT EXISTS migrations (
            service text, number integer, name text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now(),
            PRIMARY KEY (service, number)
        )
    """)
    rows = await connection.fetch("SELECT number FROM migrations WHERE service = $1", service)
    applied = {row["number"] for row in rows}
    made = []
    for migration in migrations(package):
        if migration.number not in applied:
            await connection.execute(migration.in_schema(schema))
            await connection.execute(
                "INSERT INTO migrations (service, number, name) VALUES ($1, $2, $3)",
                service, migration.number, migration.name,
            )  # fmt: skip
            made.append(f"{STORE}: migration {migration.name}")
    return made
