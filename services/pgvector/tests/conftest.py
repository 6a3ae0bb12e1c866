"""A database of its own for each test, with short vectors."""

from collections.abc import AsyncIterator
from uuid import uuid4

import asyncpg
import pytest
from harness.servers import Servers
from harness.sinks import Sink, sink_records

from headrace_pgvector.app import worker
from headrace_pgvector.settings import PgvectorSettings
from headrace_pgvector.stage import PgvectorStage, open_stage
from headrace_pgvector.store import PgvectorStore


@pytest.fixture
async def empty_settings(servers: Servers) -> AsyncIterator[PgvectorSettings]:
    """Settings for an empty database. Vectors have 4 dimensions."""
    dsn = servers.need("postgres")["HEADRACE_POSTGRES__DSN"]
    name = f"test_{uuid4().hex}"
    admin = await asyncpg.connect(dsn)
    await admin.execute(f"CREATE DATABASE {name}")
    own = dsn.rsplit("/", 1)[0] + f"/{name}"
    yield servers.settings(PgvectorSettings, POSTGRES__DSN=own, DIMENSION="4", POSTGRES__TIMEOUT="10")
    await admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
    await admin.close()


@pytest.fixture
async def settings(empty_settings: PgvectorSettings) -> PgvectorSettings:
    """Settings for a database with Headrace's tables."""
    store = PgvectorStore(empty_settings)
    await store.prepare()
    await store.close()
    return empty_settings


@pytest.fixture
def sink(settings: PgvectorSettings) -> Sink:
    """Creates changes whose vectors fit the tables."""
    return Sink(worker, settings, sink_records("pgvector"))


@pytest.fixture
async def stage(settings: PgvectorSettings) -> AsyncIterator[PgvectorStage]:
    async with open_stage(settings) as opened:
        yield opened


@pytest.fixture
async def store(settings: PgvectorSettings) -> AsyncIterator[PgvectorStore]:
    opened = PgvectorStore(settings)
    yield opened
    await opened.close()


@pytest.fixture
async def sql(settings: PgvectorSettings) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    """A connection of the test's own, to read the tables."""
    dsn, path = settings.postgres.dsn.get_secret_value(), f"{settings.names.schema}, public"
    connection = await asyncpg.connect(dsn, server_settings={"search_path": path})
    yield connection
    await connection.close()
