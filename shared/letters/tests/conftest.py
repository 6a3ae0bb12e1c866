"""An index in a database of its own for each test, and topics with a prefix of their own."""

import uuid
from collections.abc import AsyncIterator

import asyncpg
import pytest
from harness.letters import empty_database
from harness.servers import Servers

from headrace_cli.kafka_topics import apply_topics
from headrace_letters.index import LetterIndex
from headrace_letters.index_settings import IndexSettings


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
    opened = LetterIndex(index_settings.postgres)
    await opened.prepare()
    yield opened
    await opened.close()


@pytest.fixture
async def sql(database: str, index: LetterIndex) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    """A connection of the test's own to the index's database."""
    connection = await asyncpg.connect(database)
    yield connection
    await connection.close()


@pytest.fixture
async def settings(servers: Servers) -> IndexSettings:
    """Settings of the session's broker, with the topics of two workers."""
    made = servers.settings(IndexSettings, "kafka", TOPIC_PREFIX=f"t{uuid.uuid4().hex[:8]}.")
    await apply_topics(made, ["qdrant", "embed"])
    return made
