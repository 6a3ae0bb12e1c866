"""The rows that the pgvector stage writes for link sets, read with SQL."""

import asyncio
from typing import TypeAlias

import asyncpg
from harness.link_sinks import link_set, tombstone
from harness.records import eventually
from harness.sinks import outcomes_of

from headrace_pgvector.links import LinkTables
from headrace_pgvector.settings import PgvectorSettings
from headrace_pgvector.stage import PgvectorStage, open_stage
from headrace_worker.stage import Applied, Rejected, Superseded

Sql: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
WAITING = "SELECT count(*) >= 1 FROM pg_locks WHERE NOT granted"
ROWS = "SELECT product_id, keyword_id, rank FROM headrace.product_keywords ORDER BY product_id, rank"


async def test_a_link_is_a_row_beside_the_one_row_of_its_set(stage: PgvectorStage, sql: Sql) -> None:
    await stage.apply([link_set("a", 1, ["x", "y"]), link_set("b", 1, ["y"]), link_set("empty", 1, [])])
    assert [tuple(row) for row in await sql.fetch(ROWS)] == [("a", "x", 1), ("a", "y", 2), ("b", "y", 1)]
    assert await sql.fetchval("SELECT count(*) FROM headrace.product_links") == 3


async def test_the_row_of_a_set_stays_when_it_becomes_empty_and_when_its_product_is_deleted(
    stage: PgvectorStage, sql: Sql
) -> None:
    await stage.apply([link_set("a", 1, ["x", "y"]), link_set("b", 1, ["y"])])
    await stage.apply([link_set("a", 2, []), tombstone("b", 2)])
    assert await sql.fetch(ROWS) == []
    stored = await sql.fetch(
        "SELECT product_id, title, version, deleted_at IS NULL FROM headrace.product_links ORDER BY 1"
    )
    assert [tuple(row) for row in stored] == [("a", "a at version 2", 2, True), ("b", None, 2, False)]


async def test_the_older_of_two_writers_of_a_set_waits_and_leaves_the_newer_links(
    settings: PgvectorSettings, stage: PgvectorStage, sql: Sql
) -> None:
    async with open_stage(settings) as other:
        await stage.apply([link_set("a", 1, ["x"])])
        async with sql.transaction():
            # The newer writer has written its set's row and not yet its links. The older one must wait.
            await sql.execute("UPDATE headrace.product_links SET version = 3 WHERE product_id = 'a'")
            older = asyncio.create_task(other.apply([link_set("a", 2, ["y", "z"])]))
            await eventually(lambda: sql.fetchval(WAITING), within=10)
            await sql.execute("UPDATE headrace.product_keywords SET keyword_id = 'newest' WHERE product_id = 'a'")
        (outcome,) = await older
    assert outcome == Superseded(by=3)
    assert [tuple(row) for row in await sql.fetch(ROWS)] == [("a", "newest", 1)]


async def test_writers_that_take_the_same_sets_in_opposite_orders_do_not_deadlock(
    settings: PgvectorSettings, sql: Sql
) -> None:
    ids = [f"{number:02}" for number in range(50)]
    async with open_stage(settings) as one, open_stage(settings) as other:
        await one.apply([link_set(id, 1, ["x"]) for id in ids])
        async with sql.transaction():
            await sql.execute("SELECT FROM headrace.product_links WHERE product_id = '25' FOR UPDATE")
            rising = asyncio.create_task(one.apply([link_set(id, 2, ["y"]) for id in ids]))
            falling = asyncio.create_task(other.apply([link_set(id, 3, ["z"]) for id in reversed(ids)]))
            await eventually(lambda: sql.fetchval(WAITING), within=10)
        outcomes = [*await rising, *await falling]
    assert {type(outcome) for outcome in outcomes} <= {Applied, Superseded}
    assert {tuple(row) for row in await sql.fetch(ROWS)} == {(id, "z", 1) for id in ids}


async def test_a_refused_link_is_named_by_its_column_and_its_set_is_not_written(stage: PgvectorStage, sql: Sql) -> None:
    good = link_set("good", 1, ["x"])
    bad = good.links[0].model_copy(update={"text": "nul \x00 byte"})
    outcome, other = await outcomes_of(stage, [good.model_copy(update={"product_id": "bad", "links": (bad,)}), good])
    assert isinstance(outcome, Rejected)
    assert (outcome.reason, outcome.cause) == ("refused_by_store", ("postgres", "22021", "text"))
    assert other == Applied()
    assert await sql.fetch("SELECT product_id FROM headrace.product_links") == [("good",)]


async def test_a_keywords_products_are_found_through_their_index(stage: PgvectorStage, sql: Sql) -> None:
    keywords = [f"k{number}" for number in range(200)]
    await stage.apply([link_set(f"p{number}", 1, keywords[number % 190 :][:10]) for number in range(2000)])
    await sql.execute("ANALYZE")
    plan = await sql.fetch("EXPLAIN " + LinkTables("minilm-l6-v2").products_of, "k17", 5)
    assert "product_keywords_by_score" in " ".join(row[0] for row in plan)
