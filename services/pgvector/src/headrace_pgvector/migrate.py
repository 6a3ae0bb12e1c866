"""Brings a database to the state that this version of the worker writes to."""

from collections.abc import Iterator
from importlib.resources import files
from typing import NamedTuple

import asyncpg

from headrace_pgvector.connect import Connection, checked_dsn
from headrace_pgvector.errors import STORE, postgres_errors
from headrace_pgvector.fence import SCHEMA
from headrace_pgvector.tables import Tables
from headrace_shared.settings import PostgresSettings

SERVICE = "pgvector"
LOCK = 0x68656164726163  # "headrac": any number will do, if all of Headrace's migrations take the same
LONGEST_MIGRATION = 3600.0


class Migration(NamedTuple):
    """One numbered SQL file."""

    number: int
    name: str
    sql: str


def migrations() -> Iterator[Migration]:
    """The SQL files of this package, in order."""
    for file in sorted(files("headrace_pgvector").joinpath("migrations").iterdir(), key=lambda file: file.name):
        if file.name.endswith(".sql"):
            name = file.name.removesuffix(".sql")
            yield Migration(int(name.split("_")[0]), name, file.read_text(encoding="utf-8"))


async def migrate(settings: PostgresSettings, tables: list[Tables], dimension: int) -> list[str]:
    """Applies what is missing, all or nothing, and creates the vector tables; safe to repeat and to run twice at once.

    Returns one line for each thing that was made. Raises Unavailable, and ValueError if a vector table of another
    dimension is there.
    """
    with postgres_errors():
        connection = await asyncpg.connect(
            checked_dsn(settings), timeout=settings.timeout, command_timeout=LONGEST_MIGRATION
        )
        try:
            async with connection.transaction():
                await connection.execute("SELECT pg_advisory_xact_lock($1)", LOCK)
                made = await _apply_missing(connection)
                for table in tables:
                    made += await _create_vectors(connection, table, dimension)
                return made
        finally:
            connection.terminate()


async def _apply_missing(connection: Connection) -> list[str]:
    await connection.execute(f"""
        CREATE SCHEMA IF NOT EXISTS {SCHEMA};
        CREATE TABLE IF NOT EXISTS {SCHEMA}.migrations (
            service text, number integer, name text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now(),
            PRIMARY KEY (service, number)
        )
    """)
    rows = await connection.fetch(f"SELECT number FROM {SCHEMA}.migrations WHERE service = $1", SERVICE)  # noqa: S608
    applied = {row["number"] for row in rows}
    made = []
    for migration in migrations():
        if migration.number not in applied:
            await connection.execute(migration.sql)
            await connection.execute(
                f"INSERT INTO {SCHEMA}.migrations (service, number, name) VALUES ($1, $2, $3)",  # noqa: S608
                SERVICE, migration.number, migration.name,
            )  # fmt: skip
            made.append(f"{STORE}: migration {migration.name}")
    return made


async def _create_vectors(connection: Connection, table: Tables, dimension: int) -> list[str]:
    if await connection.fetchval("SELECT to_regclass($1)", table.vectors) is None:
        await connection.execute(table.create_vectors(dimension))
        return [f"{STORE}: table {table.vectors}, {dimension} dimensions"]
    found = await connection.fetchval(table.dimension)
    if found != dimension:
        raise ValueError(f"the table {table.vectors} holds vectors of {found} dimensions, not {dimension}")
    return []
