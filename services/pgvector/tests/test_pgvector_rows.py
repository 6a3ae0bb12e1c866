"""The rows that the pgvector stage writes, read with SQL."""

import asyncio
import hashlib
from typing import TypeAlias

import asyncpg
import numpy as np
from harness.records import eventually
from harness.sinks import Sink, outcomes_of
from pgvector.asyncpg import register_vector

from headrace_pgvector.settings import PgvectorSettings
from headrace_pgvector.stage import PgvectorStage, open_stage
from headrace_pgvector.store import PgvectorStore
from headrace_pgvector.tables import Tables
from headrace_worker.stage import Applied, Rejected, Superseded
from headrace_worker.store import Query

Sql: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
WAITING = "SELECT count(*) >= 2 FROM pg_locks WHERE NOT granted"
VECTORS = 'headrace."product_vectors__minilm-l6-v2"'


async def test_a_price_change_leaves_the_vectors_row_untouched(sink: Sink, stage: PgvectorStage, sql: Sql) -> None:
    # The HNSW index changes only if the row is written, which shows in the row's ctid and xmin.
    await stage.apply([sink.upsert("product", "a", 1, "a bottle", price=1.0)])
    before = await sql.fetchrow(f"SELECT ctid::text, xmin::text, xmax::text FROM {VECTORS}")
    assert list(await stage.apply([sink.upsert("product", "a", 2, "a bottle", price=2.0)])) == [Applied()]
    assert await sql.fetchval("SELECT price FROM headrace.products") == 2.0
    assert await sql.fetchrow(f"SELECT ctid::text, xmin::text, xmax::text FROM {VECTORS}") == before


async def test_a_changed_text_replaces_its_vector_and_a_delete_removes_it(
    sink: Sink, stage: PgvectorStage, sql: Sql
) -> None:
    for change, stored in (
        (sink.upsert("product", "a", 1, "a text"), [b"a text"]),
        (sink.upsert("product", "a", 2, "another text"), [b"another text"]),
        (sink.delete("product", "a", 3), []),
    ):
        await stage.apply([change])
        rows = await sql.fetch(f"SELECT content_hash FROM {VECTORS}")
        assert [row["content_hash"] for row in rows] == [hashlib.sha256(text).hexdigest() for text in stored]


async def test_rows_that_were_removed_without_their_vectors_are_written_again(
    sink: Sink, stage: PgvectorStage, sql: Sql
) -> None:
    await stage.apply([sink.upsert("product", id, 1, "a text") for id in ("a", "b", "c")])
    await sql.execute("DELETE FROM headrace.products WHERE product_id IN ('a', 'b')")
    again = [
        sink.upsert("product", "a", 1, "a text"),
        sink.upsert("product", "b", 2, "other"),
        sink.delete("product", "c", 2),
    ]
    assert await outcomes_of(stage, again) == [Applied()] * 3
    hashes = {row[0]: row[1] for row in await sql.fetch(f"SELECT product_id, content_hash FROM {VECTORS}")}
    assert hashes == {id: hashlib.sha256(text).hexdigest() for id, text in (("a", b"a text"), ("b", b"other"))}


async def test_a_tombstone_has_only_its_id_its_version_and_its_time(sink: Sink, stage: PgvectorStage, sql: Sql) -> None:
    await stage.apply([sink.upsert("product", "a", 1, brand="b", attributes={"a": 1})])
    await stage.apply([sink.delete("product", "a", 2), sink.delete("product", "never-seen", 2)])
    for row in await sql.fetch("SELECT * FROM headrace.products"):
        stored = {name for name, value in row.items() if value is not None}
        assert stored == {"product_id", "version", "deleted_at", "digest"}
    assert await sql.fetchval("SELECT count(*) FROM headrace.live_products") == 0


async def test_the_views_show_only_live_entities(sink: Sink, stage: PgvectorStage, sql: Sql) -> None:
    keyword = sink.upsert("keyword", "k", 1, "bottle")
    await stage.apply([sink.upsert("product", "a", 1), sink.upsert("product", "b", 1), keyword])
    await stage.apply([sink.delete("product", "b", 2)])
    assert [row["product_id"] for row in await sql.fetch("SELECT * FROM headrace.live_products")] == ["a"]
    assert [row["text"] for row in await sql.fetch("SELECT * FROM headrace.live_keywords")] == ["bottle"]


async def test_text_that_postgres_refuses_is_found_by_bisecting_and_named_by_its_column(
    sink: Sink, stage: PgvectorStage, sql: Sql
) -> None:
    bad = sink.upsert("product", "bad", 1).model_copy(update={"brand": "nul \x00 byte"})
    batch = [sink.upsert("product", str(number), 1) for number in range(200)]
    batch.insert(77, bad)
    outcomes = await outcomes_of(stage, batch)
    rejected = outcomes.pop(77)
    assert isinstance(rejected, Rejected)
    assert (rejected.reason, rejected.cause) == ("refused_by_store", ("postgres", "22021", "brand"))
    assert outcomes == [Applied()] * 200
    assert await sql.fetchval("SELECT count(*) FROM headrace.products") == 200


async def test_a_refused_part_of_a_batch_writes_neither_its_rows_nor_its_vectors(
    sink: Sink, settings: PgvectorSettings, stage: PgvectorStage, sql: Sql
) -> None:
    await sql.execute(f"ALTER TABLE {VECTORS} ADD CONSTRAINT short CHECK (length(content_hash) < 10)")
    outcomes = await outcomes_of(stage, [sink.upsert("product", "a", 1), sink.upsert("product", "b", 1)])
    assert [outcome.cause for outcome in outcomes if isinstance(outcome, Rejected)] == [
        ("postgres", "23514", "short")
    ] * 2
    assert await sql.fetchval("SELECT count(*) FROM headrace.products") == 0


async def test_writers_that_take_the_same_rows_in_opposite_orders_do_not_deadlock(
    sink: Sink, settings: PgvectorSettings, sql: Sql
) -> None:
    ids = [f"{number:02}" for number in range(50)]
    async with open_stage(settings) as one, open_stage(settings) as other:
        await one.apply([sink.upsert("product", id, 1) for id in ids])
        async with sql.transaction():
            # Both wait for this row or an earlier one. In the given order, each would lock what the other needs next.
            await sql.execute("SELECT FROM headrace.products WHERE product_id = '25' FOR UPDATE")
            rising = asyncio.create_task(one.apply([sink.upsert("product", id, 2) for id in ids]))
            falling = asyncio.create_task(other.apply([sink.upsert("product", id, 3) for id in reversed(ids)]))
            await eventually(lambda: sql.fetchval(WAITING), within=10)
        outcomes = [*await rising, *await falling]
    assert {type(outcome) for outcome in outcomes} <= {Applied, Superseded}
    assert await sql.fetchval("SELECT min(version) FROM headrace.products") == 3


async def test_a_large_batch_is_written_whole(sink: Sink, stage: PgvectorStage, sql: Sql) -> None:
    batch = [sink.upsert("product", str(number), 1, f"text {number}") for number in range(3000)]
    assert list(await stage.apply(batch)) == [Applied()] * 3000
    assert await sql.fetchval(f"SELECT count(*) FROM {VECTORS} JOIN headrace.products USING (product_id)") == 3000


async def test_a_search_finds_as_many_entities_as_its_limit_among_deleted_neighbours(
    sink: Sink, stage: PgvectorStage, store: PgvectorStore, sql: Sql
) -> None:
    await stage.apply([sink.upsert("product", f"{number:04}", 1) for number in range(2500)])
    name = await sql.fetchval("SELECT current_database()")
    await sql.execute(f"ALTER DATABASE {name} SET enable_seqscan = off")
    asked = [1.0, 0.0, 0.0, 0.0]
    near = await store.search(Query("", limit=500, vector=asked))
    assert len(near) == 500
    await stage.apply([sink.delete("product", hit.id, 2) for hit in near])
    left = await store.search(Query("", limit=1200, vector=asked))
    assert len(left) == 1200
    assert not {hit.id for hit in left} & {hit.id for hit in near}
    assert [hit.score for hit in left] == sorted((hit.score for hit in left), reverse=True)


async def test_a_search_goes_through_the_hnsw_index(sink: Sink, stage: PgvectorStage, sql: Sql) -> None:
    await stage.apply([sink.upsert("product", f"{number:04}", 1, f"text {number}") for number in range(2500)])
    await sql.execute("ANALYZE")
    await register_vector(sql)
    search = Tables("product", "minilm-l6-v2").nearest()
    plan = await sql.fetch("EXPLAIN " + search, np.asarray([1, 0, 0, 0], dtype=np.float32), 10)
    assert "product_vectors__minilm-l6-v2_hnsw" in " ".join(row[0] for row in plan)


async def test_a_second_model_gets_its_own_vectors_beside_the_first(
    sink: Sink, stage: PgvectorStage, settings: PgvectorSettings, sql: Sql
) -> None:
    other = settings.model_copy(update={"model": "other"})
    await PgvectorStore(other).prepare()
    other_sink = Sink(sink.worker, other, sink.records)
    changes = ("a", 1, "one text"), ("a", 2, "two texts"), ("b", 1, "gone soon")
    async with open_stage(other) as other_stage:
        # The first worker writes the row; the other must still write or remove its own vector.
        for change in changes:
            await stage.apply([sink.upsert("product", *change)])
            assert list(await other_stage.apply([other_sink.upsert("product", *change)])) == [Applied()]
        await other_stage.apply([other_sink.delete("product", "b", 2)])
        await stage.apply([sink.delete("product", "b", 2)])
    expected = [("a", hashlib.sha256(b"two texts").hexdigest())]
    for model in (settings.model, "other"):
        rows = await sql.fetch(f'SELECT product_id, content_hash FROM headrace."product_vectors__{model}"')
        assert [tuple(row) for row in rows] == expected
