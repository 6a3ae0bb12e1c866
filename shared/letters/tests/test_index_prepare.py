"""The index's tables: they are created once, and an error names the command that creates them."""

import asyncio

import pytest
from harness.letters import letter

from headrace_letters.index import LetterIndex
from headrace_letters.index_settings import IndexSettings
from headrace_letters.selection import EVERYTHING
from headrace_worker.stage import Unavailable


async def test_several_at_once_create_the_tables_once(index_settings: IndexSettings) -> None:
    indexes = [LetterIndex(index_settings.postgres, index_settings.names.schema) for _ in range(3)]
    created = await asyncio.gather(*(index.prepare() for index in indexes))
    assert [lines for lines in created if lines] == [
        [
            "postgres: migration 0001_dead_letters",
            "postgres: migration 0002_causes_of_several_workers",
            "postgres: migration 0003_shared_source_records",
        ]
    ]
    assert await indexes[0].prepare() == []
    for index in indexes:
        await index.check()
        await index.close()


async def test_an_error_about_missing_tables_names_the_command_that_creates_them(
    index_settings: IndexSettings,
) -> None:
    index = LetterIndex(index_settings.postgres, index_settings.names.schema)
    for call in (index.put_letters([letter("p1")]), index.groups(), index.page(EVERYTHING), index.check()):
        with pytest.raises(Unavailable, match="headrace stores apply"):
            await call
    await index.close()
