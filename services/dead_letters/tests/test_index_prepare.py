"""The index's tables: made once, and missed with a word on how to make them."""

import asyncio

import pytest
from harness.letters import letter
from harness.servers import Servers
from pydantic import SecretStr

from headrace_clients.settings import PostgresSettings
from headrace_dead_letters.app import letter_index
from headrace_dead_letters.settings import DeadLettersSettings
from headrace_letters.selection import EVERYTHING
from headrace_worker.stage import Unavailable


async def test_an_empty_database_is_prepared_once_by_several_at_once(servers: Servers, database: str) -> None:
    settings = servers.settings(DeadLettersSettings, POSTGRES__DSN=database)
    indexes = [letter_index(settings) for _ in range(3)]
    made = await asyncio.gather(*(index.prepare() for index in indexes))
    assert [lines for lines in made if lines] == [["postgres: migration 0001_dead_letters"]]
    assert await indexes[0].prepare() == []
    for index in indexes:
        await index.check()
        await index.close()


async def test_tables_that_are_missing_are_named_with_the_command_that_makes_them(
    servers: Servers, database: str
) -> None:
    index = letter_index(servers.settings(DeadLettersSettings, POSTGRES__DSN=database))
    for asked in (index.put_letters([letter("p1")]), index.groups(), index.page(EVERYTHING), index.check()):
        with pytest.raises(Unavailable, match="headrace stores apply"):
            await asked
    await index.close()


def test_a_dsn_that_cannot_be_read_ends_the_worker_at_its_start_and_is_not_repeated() -> None:
    settings = DeadLettersSettings(postgres=PostgresSettings(dsn=SecretStr("postgresql://me:hunter2#x@127.0.0.1/db")))
    with pytest.raises(ValueError, match="HEADRACE_POSTGRES__DSN") as raised:
        letter_index(settings)
    assert "hunter2" not in str(raised.value)
