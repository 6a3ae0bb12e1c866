"""Which errors of PostgreSQL are about the data, and which mean that the server is unavailable."""

import asyncio
from typing import TypeAlias

import asyncpg
import pytest
from harness.sinks import Sink, outcomes_of
from pydantic import SecretStr

from headrace_clients.settings import PostgresSettings
from headrace_pgvector.settings import PgvectorSettings
from headrace_pgvector.stage import PgvectorStage, open_stage
from headrace_worker.stage import Applied, NoAnswer, Rejected, Unavailable

Sql: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
UNAVAILABLE = [
    "08006", "25006", "28000", "28P01", "3D000", "40001", "40P01", "42501", "42703", "42P01", "53000", "53100", "53200",
    "53300", "53400", "54001", "55000", "55006", "55P03", "57000", "57014", "57P01", "57P03", "58000", "58030",
]  # fmt: skip
INTERNAL = ["XX000", "XX001", "XX002"]
DATA = ["22000", "22003", "22021", "22P02", "22P05", "23502", "23505", "23514", "54000"]


@pytest.mark.parametrize("code", UNAVAILABLE)
async def test_an_error_of_the_server_is_unavailable(sink: Sink, stage: PgvectorStage, sql: Sql, code: str) -> None:
    await answer_with(sql, code)
    with pytest.raises(Unavailable) as caught:
        await stage.apply([sink.upsert("product", "a", 1)])
    assert not caught.value.suspect
    assert isinstance(caught.value, NoAnswer) == (code == "57014")
    await check_recovered(sink, stage, sql)


@pytest.mark.parametrize("code", INTERNAL)
async def test_an_internal_error_is_unavailable_and_makes_the_batch_suspect(
    sink: Sink, stage: PgvectorStage, sql: Sql, code: str
) -> None:
    await answer_with(sql, code)
    with pytest.raises(Unavailable) as caught:
        await stage.apply([sink.upsert("product", "a", 1)])
    assert caught.value.suspect
    await check_recovered(sink, stage, sql)


@pytest.mark.parametrize("code", DATA)
async def test_an_error_about_the_data_rejects_the_change(
    sink: Sink, stage: PgvectorStage, sql: Sql, code: str
) -> None:
    await answer_with(sql, code)
    (rejection,) = await stage.apply([sink.upsert("product", "a", 1)])
    assert isinstance(rejection, Rejected)
    assert rejection.reason == "refused_by_store"
    assert rejection.cause == ("postgres", code)
    await check_recovered(sink, stage, sql)


async def test_a_part_that_fails_leaves_the_others_applied(sink: Sink, stage: PgvectorStage, sql: Sql) -> None:
    await answer_with(sql, "53100")
    keyword, product = sink.upsert("keyword", "k", 1), sink.upsert("product", "a", 1)
    outcomes = list(await stage.apply([keyword, product]))
    assert outcomes[0] == Applied()
    assert isinstance(outcomes[1], Unavailable)


async def test_a_database_that_was_not_prepared_is_unavailable_and_says_what_to_do(
    empty_settings: PgvectorSettings,
) -> None:
    async with open_stage(empty_settings) as stage:
        with pytest.raises(Unavailable, match="stores apply"):
            await stage.check()


async def test_a_dropped_vector_table_is_unavailable_and_says_what_to_do(
    sink: Sink, stage: PgvectorStage, sql: Sql
) -> None:
    await sql.execute('DROP TABLE headrace."keyword_vectors__minilm-l6-v2"')
    with pytest.raises(Unavailable, match="stores apply"):
        await stage.apply([sink.upsert("product", "a", 1)])


async def test_a_read_only_database_is_unavailable(sink: Sink, settings: PgvectorSettings, sql: Sql) -> None:
    name = await sql.fetchval("SELECT current_database()")
    await sql.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    async with open_stage(settings) as stage:
        with pytest.raises(Unavailable, match="25006"):
            await stage.apply([sink.upsert("product", "a", 1)])


async def test_rows_locked_by_another_are_unavailable_within_the_time_limit(
    sink: Sink, settings: PgvectorSettings, sql: Sql
) -> None:
    impatient = settings.model_copy(update={"postgres": PostgresSettings(dsn=settings.postgres.dsn, timeout=1.0)})
    async with open_stage(impatient) as stage:
        await stage.apply([sink.upsert("product", "a", 1)])
        async with asyncio.timeout(20):
            async with sql.transaction():
                await sql.execute("LOCK TABLE headrace.products IN ACCESS EXCLUSIVE MODE")
                with pytest.raises(Unavailable):
                    await stage.apply([sink.upsert("product", "a", 2)])
            assert list(await stage.apply([sink.upsert("product", "a", 3)])) == [Applied()]


async def test_connections_that_the_server_ended_are_replaced(sink: Sink, stage: PgvectorStage, sql: Sql) -> None:
    await stage.apply([sink.upsert("product", "a", 1)])
    await sql.execute(
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
        "WHERE application_name = 'headrace' AND datname = current_database()"
    )
    assert await outcomes_of(stage, [sink.upsert("product", "a", 2)], within=10) == [Applied()]


async def test_a_wrong_password_is_unavailable_and_is_not_repeated(settings: PgvectorSettings) -> None:
    dsn = settings.postgres.dsn.get_secret_value()
    password = dsn.split(":")[2].split("@")[0]
    wrong = PostgresSettings(dsn=SecretStr(dsn.replace(password, "correct-horse")), timeout=5.0)
    async with open_stage(settings.model_copy(update={"postgres": wrong})) as stage:
        with pytest.raises(Unavailable) as caught:
            await stage.check()
    shown = f"{caught.value} {caught.value!r} {caught.value.__cause__!r}"
    assert "correct-horse" not in shown


async def answer_with(sql: Sql, code: str) -> None:
    """Makes the server answer every write of a product with an error of this code."""
    await sql.execute(f"""
        CREATE FUNCTION headrace.refuse() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN RAISE EXCEPTION 'as the test asked' USING ERRCODE = '{code}'; END $$;
        CREATE TRIGGER refuse BEFORE INSERT ON headrace.products EXECUTE FUNCTION headrace.refuse();
    """)


async def check_recovered(sink: Sink, stage: PgvectorStage, sql: Sql) -> None:
    """Nothing of the failed write is stored, and the stage writes again when the server answers without errors."""
    assert await sql.fetchval("SELECT count(*) FROM headrace.products") == 0
    await sql.execute("DROP TRIGGER refuse ON headrace.products")
    assert list(await stage.apply([sink.upsert("product", "a", 1)])) == [Applied()]
