"""Migrations and vector tables."""

import asyncio
from typing import TypeAlias

import asyncpg
import pytest
from harness.link_sinks import link_set, tombstone
from harness.sinks import Sink

from headrace_clients.postgres_migrations import migrations
from headrace_pgvector.preparation import PACKAGE
from headrace_pgvector.settings import PgvectorSettings
from headrace_pgvector.stage import PgvectorStage, open_stage
from headrace_pgvector.store import PgvectorStore
from headrace_pgvector.tables import Tables
from headrace_schemas.canary import CANARY_ID
from headrace_worker.stage import Applied, Conflict, Unavailable
from headrace_worker.store import Query

Sql: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
PUBLIC = ("product_links", "product_keywords")
CREATED = 6
"""Lines of `prepare` in addition to the migrations: two tables of vectors, two of links, and their two views."""


async def test_an_empty_database_is_prepared_once_by_two_at_once(empty_settings: PgvectorSettings) -> None:
    stores = [PgvectorStore(empty_settings) for _ in range(3)]
    made = await asyncio.gather(*(store.prepare() for store in stores))
    (lines,) = [lines for lines in made if lines]
    assert len(lines) == len(list(migrations(PACKAGE))) + CREATED
    assert await stores[0].prepare() == []
    for store in stores:
        await store.close()


@pytest.mark.parametrize("package", [PACKAGE, "headrace_letters"])
def test_the_migrations_are_numbered_in_their_order(package: str) -> None:
    numbers = [migration.number for migration in migrations(package)]
    assert numbers == list(range(1, len(numbers) + 1))


async def test_another_model_gets_tables_of_its_own(settings: PgvectorSettings, sql: Sql) -> None:
    other = PgvectorStore(settings.model_copy(update={"model": "other-v1.5", "dimension": 8}))
    assert len(await other.prepare()) == CREATED - 2
    await other.close()
    tables = await sql.fetch("SELECT tablename FROM pg_tables WHERE tablename LIKE 'product_vectors%' ORDER BY 1")
    assert [row[0] for row in tables] == ["product_vectors__minilm-l6-v2", "product_vectors__other-v1.5"]


async def test_a_search_with_a_model_that_nothing_was_indexed_with_is_refused(settings: PgvectorSettings) -> None:
    store = PgvectorStore(settings.model_copy(update={"model": "other"}))
    with pytest.raises(ValueError, match=r"no products indexed with other.*minilm-l6-v2"):
        await store.search(Query("x", vector=[1.0, 0.0, 0.0, 0.0]))
    await store.close()


async def test_a_model_whose_dimension_changed_is_refused(settings: PgvectorSettings) -> None:
    store = PgvectorStore(settings.model_copy(update={"dimension": 8}))
    with pytest.raises(ValueError, match="4 dimensions, not 8"):
        await store.prepare()
    await store.close()


async def test_a_migration_that_fails_leaves_nothing_behind(
    empty_settings: PgvectorSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Tables, "create_vectors", lambda self, dimension: "SELECT 1/0")
    store = PgvectorStore(empty_settings)
    with pytest.raises(Exception, match="division by zero"):
        await store.prepare()
    monkeypatch.undo()
    assert len(await store.prepare()) == len(list(migrations(PACKAGE))) + CREATED
    await store.close()


def test_a_model_id_too_long_for_a_table_is_refused() -> None:
    with pytest.raises(ValueError, match="too long"):
        _ = Tables("product", "m" * 60).vectors


async def test_rows_of_an_older_release_never_conflict(
    store: PgvectorStore, stage: PgvectorStage, sink: Sink, sql: Sql
) -> None:
    """Neither those from before the column, nor those that an older worker replaced without the digest."""
    for table in ("products", "keywords"):
        await sql.execute(f"ALTER TABLE headrace.{table} DROP COLUMN digest")
    await sql.execute("DELETE FROM headrace.migrations WHERE service = 'pgvector' AND name = '0005_digests'")
    await sql.execute("INSERT INTO headrace.products (product_id, title, version) VALUES ('old', 'Lamp', 3)")
    with pytest.raises(Unavailable, match="stores apply"):
        await stage.apply([sink.upsert("product", "old", 4)])
    assert await store.prepare() == ["postgres: migration 0005_digests"]

    assert await stage.apply([sink.upsert("product", "old", 3, text="Other lamp")]) == [Applied()]
    assert await stage.apply([sink.upsert("product", "old", 4)]) == [Applied()]
    assert await stage.apply([sink.upsert("product", "old", 4, text="Other lamp")]) == [Conflict()]
    await sql.execute("UPDATE headrace.products SET version = 5")
    assert await stage.apply([sink.upsert("product", "old", 5, text="Other lamp")]) == [Applied()]


async def test_link_sets_without_a_model_become_those_of_the_first_model(
    settings: PgvectorSettings, stage: PgvectorStage, sql: Sql
) -> None:
    await stage.apply([link_set("a", 3, ["x", "y"]), tombstone("b", 2)])
    before = [await sql.fetch(f"SELECT * FROM {name} ORDER BY product_id") for name in PUBLIC]
    # As the release before stored them, with a role that may read them.
    for name in PUBLIC:
        await sql.execute(f'DROP VIEW {name}; ALTER TABLE "{name}__{settings.model}" RENAME TO {name}')
    role = f"reader_{settings.postgres.dsn.get_secret_value()[-8:]}"
    await sql.execute(f"CREATE ROLE {role}; GRANT SELECT ON {', '.join(PUBLIC)} TO {role}")
    store = PgvectorStore(settings)
    try:
        assert len(await store.prepare()) == 4
        assert await store.prepare() == []
        assert await store.links_of(["a", "b"]) == {"a": link_set("a", 3, ["x", "y"]), "b": tombstone("b", 2)}
        assert [await sql.fetch(f"SELECT * FROM {name} ORDER BY product_id") for name in PUBLIC] == before
        async with sql.transaction():
            await sql.execute(f"GRANT USAGE ON SCHEMA headrace TO {role}; SET LOCAL ROLE {role}")
            assert await sql.fetchval("SELECT count(*) FROM product_keywords") == 2
    finally:
        await store.close()
        await sql.execute(f"DROP OWNED BY {role}; DROP ROLE {role}")


async def test_the_views_of_links_stay_on_their_model_until_they_are_moved(
    settings: PgvectorSettings, stage: PgvectorStage, sql: Sql
) -> None:
    await stage.apply([link_set("a", 1, ["x"])])
    other = settings.model_copy(update={"model": "other"})
    store = PgvectorStore(other)
    assert len(await store.prepare()) == 4
    async with open_stage(other) as stage_of_other:
        await stage_of_other.apply([link_set("a", 1, ["y", "z"])])
    keywords = "SELECT keyword_id FROM product_keywords ORDER BY rank"
    assert [row[0] for row in await sql.fetch(keywords)] == ["x"]
    assert len(await store.serve()) == 2
    assert await store.serve() == await store.prepare() == []
    assert [row[0] for row in await sql.fetch(keywords)] == ["y", "z"]
    await store.close()


async def test_the_views_of_links_of_an_earlier_release_hide_the_canary_and_stay_on_their_model(
    settings: PgvectorSettings, stage: PgvectorStage, sql: Sql
) -> None:
    canary = link_set(CANARY_ID, 1, [CANARY_ID])
    assert await stage.apply([link_set("a", 1, ["x"]), canary]) == [Applied(), Applied()]
    role = f"reader_{settings.postgres.dsn.get_secret_value()[-8:]}"
    for name in PUBLIC:
        await sql.execute(f'CREATE OR REPLACE VIEW {name} AS SELECT * FROM "{name}__{settings.model}"')
    await sql.execute(f"CREATE ROLE {role}; GRANT SELECT ON {', '.join(PUBLIC)} TO {role}")
    other = PgvectorStore(settings.model_copy(update={"model": "other"}))
    store = PgvectorStore(settings)
    try:
        assert sum("view" in line for line in await other.prepare()) == len(PUBLIC)
        assert await store.prepare() == await other.prepare() == []
        for name in PUBLIC:
            assert [row["product_id"] for row in await sql.fetch(f"SELECT product_id FROM {name}")] == ["a"]
            assert await sql.fetchval("SELECT has_table_privilege($1, $2, 'SELECT')", role, name)
    finally:
        await store.close()
        await other.close()
        await sql.execute(f"DROP OWNED BY {role}; DROP ROLE {role}")
