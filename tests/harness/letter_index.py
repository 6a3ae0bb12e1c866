"""Fixtures of an index of dead letters in a database of its own. A conftest imports those that its tests use."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
import pytest

from harness.letters import empty_database
from harness.servers import Servers
from headrace_letters.index import LetterIndex, open_index
from headrace_letters.index_settings import IndexSettings


@asynccontextmanager
async def index_of_module(servers: Servers) -> AsyncIterator[tuple[LetterIndex, str]]:
    """An empty index in a database of its own, and the DSN of the database."""
    async with empty_database(servers) as dsn:
        settings = servers.settings(IndexSettings, POSTGRES__DSN=dsn)
        async with open_index(settings) as index:
            await index.prepare()
            yield index, dsn


@pytest.fixture
async def database(servers: Servers) -> AsyncIterator[str]:
    """The DSN of an empty database."""
    async with empty_database(servers) as dsn:
        yield dsn


@pytest.fixture
def index_settings(servers: Servers, database: str) -> IndexSettings:
    """Settings of the database only."""
    return servers.settings(IndexSettings, POSTGRES__DSN=database, POSTGRES__TIMEOUT="20")


@pytest.fixture
async def index(index_settings: IndexSettings) -> AsyncIterator[LetterIndex]:
    """An empty index."""
    opened = LetterIndex(index_settings.postgres, index_settings.names.schema)
    await opened.prepare()
    yield opened
    await opened.close()


@pytest.fixture
async def sql(database: str, index: LetterIndex) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    """A separate connection to the index's database."""
    connection = await asyncpg.connect(database)
    yield connection
    await connection.close()
