"""The behaviour of this sink alone: it creates its file, and its errors are about the data or the store."""

import sqlite3
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from headrace_schemas.changes import KeywordChange, ProductChange
from headrace_schemas.embedded import EmbeddedProduct
from headrace_schemas.links import Link, ProductLinks
from headrace_sqlite.app import worker
from headrace_sqlite.settings import SqliteSettings, SqliteWorkerSettings
from headrace_sqlite.stage import open_stage
from headrace_sqlite.store import SqliteStore
from headrace_worker.stage import Applied, BatchRejected, Conflict, Superseded, Unavailable
from headrace_worker.store import Query

Product = Callable[..., ProductChange]


@pytest.fixture
def settings(tmp_path: Path) -> SqliteWorkerSettings:
    return SqliteWorkerSettings(sqlite=SqliteSettings(path=tmp_path / "sqlite file", timeout=0.1))


@pytest.fixture
def product() -> Product:
    def change(id: str, version: int, **fields: object) -> ProductChange:
        base = {"op": "upsert", "product_id": id, "version": version, "occurred_at": datetime.now(UTC), "title": id}
        return ProductChange.model_validate(base | fields)

    return change


async def test_the_first_run_creates_the_tables_and_the_second_nothing(settings: SqliteWorkerSettings) -> None:
    store = SqliteStore(settings)
    assert await store.prepare() == ["table entities", "table links"]
    assert await store.prepare() == []
    await store.close()


async def test_applied_changes_are_stored_after_the_worker_ends(
    settings: SqliteWorkerSettings, product: Product
) -> None:
    store = SqliteStore(settings)
    await store.prepare()
    async with open_stage(settings) as stage:
        assert await stage.apply([product("a", 2)]) == [Applied()]
    async with open_stage(settings) as stage:
        assert await stage.apply([product("a", 1), product("b", 1)]) == [Superseded(by=2), Applied()]
    assert [hit.id for hit in await store.search(Query("A"))] == ["a"]
    await store.close()


async def test_a_store_without_tables_is_unavailable_and_the_error_names_the_command(
    settings: SqliteWorkerSettings, product: Product
) -> None:
    async with open_stage(settings) as stage:
        with pytest.raises(Unavailable, match="stores apply"):
            await stage.apply([product("a", 1)])


async def test_a_file_of_an_older_release_is_waited_for_and_its_rows_never_conflict(
    settings: SqliteWorkerSettings, product: Product
) -> None:
    store = SqliteStore(settings)
    await store.prepare()
    file = sqlite3.connect(settings.sqlite.path, isolation_level=None)
    file.execute("ALTER TABLE entities DROP COLUMN digest")
    file.execute("INSERT INTO entities VALUES ('product', 'a', 3, 0, '{}')")
    async with open_stage(settings) as stage:
        with pytest.raises(Unavailable, match="stores apply"):
            await stage.apply([product("a", 4)])
        assert await store.prepare() == ["column entities.digest"]
        assert await stage.apply([product("a", 3)]) == [Applied()]
        assert await stage.apply([product("a", 4)]) == [Applied()]
        assert await stage.apply([product("a", 4, title="b")]) == [Conflict()]
    file.close()
    await store.close()


async def test_a_file_that_another_process_has_locked_is_unavailable(
    settings: SqliteWorkerSettings, product: Product
) -> None:
    store = SqliteStore(settings)
    await store.prepare()
    other = sqlite3.connect(settings.sqlite.path, isolation_level=None)
    async with open_stage(settings) as stage:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(Unavailable):
            await stage.apply([product("a", 1)])
        other.rollback()
        assert await stage.apply([product("a", 1)]) == [Applied()]
    other.close()
    await store.close()


async def test_a_broken_constraint_refuses_the_batch_and_stores_nothing_of_it(
    settings: SqliteWorkerSettings, product: Product
) -> None:
    store = SqliteStore(settings)
    await store.prepare()
    link = Link.model_construct(keyword_id="k" * 600, text="t", score=0.5, rank=1)
    links = ProductLinks.model_construct(product_id="a", version=1, deleted=False, title="t", links=(link,))
    async with open_stage(settings) as stage:
        with pytest.raises(BatchRejected) as caught:
            await stage.apply([product("a", 1), links])
    assert caught.value.rejection.cause == ("sqlite", "SQLITE_CONSTRAINT_CHECK")
    assert await store.get("product", ["a"]) == {}
    assert await store.links_of(["a"]) == {}
    await store.close()


def test_the_worker_reads_changes_without_vectors_and_link_sets() -> None:
    records = set(worker.inputs(SqliteWorkerSettings()).values())
    assert records == {ProductChange, KeywordChange, ProductLinks}
    assert not any(issubclass(record, EmbeddedProduct) for record in records)
