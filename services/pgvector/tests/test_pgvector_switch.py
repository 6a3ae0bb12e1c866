"""The switch to other tables waits for readers, and ends none of them."""

import asyncio

import asyncpg
import pytest
from harness.records import eventually

from headrace_pgvector.beside import open_beside
from headrace_pgvector.settings import PgvectorSettings

pytestmark = pytest.mark.servers
WAITING = "SELECT count(*) FROM pg_locks WHERE NOT granted"


async def test_a_reader_that_has_one_table_gets_another_one_while_a_switch_waits_for_it(
    settings: PgvectorSettings, sql: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    beside = open_beside(settings)
    await beside.create()
    reader = await asyncpg.connect(settings.postgres.dsn.get_secret_value())
    try:
        async with reader.transaction():
            assert await reader.fetchval("SELECT count(*) FROM headrace.live_keywords") == 0
            switch = asyncio.create_task(beside.switch())
            await eventually(lambda: waits(sql))
            assert await reader.fetchval("SELECT count(*) FROM headrace.live_products") == 0
        assert len(await switch) == 6
        assert await beside.state() == "switched"
    finally:
        await reader.close()


async def waits(sql: "asyncpg.Connection[asyncpg.Record]") -> bool:
    return bool(await sql.fetchval(WAITING))
