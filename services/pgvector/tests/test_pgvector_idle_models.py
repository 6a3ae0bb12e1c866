"""Searches by a model whose worker has stopped, while the worker of another model still writes the rows."""

from collections.abc import AsyncIterator
from typing import Any, TypeAlias

import asyncpg
import numpy as np
import pytest
from harness.sinks import Sink
from pgvector.asyncpg import register_vector

from headrace_pgvector.settings import PgvectorSettings
from headrace_pgvector.stage import PgvectorStage, open_stage
from headrace_pgvector.store import PgvectorStore
from headrace_pgvector.tables import Tables
from headrace_schemas.embedded import Embedding
from headrace_worker.stage import Applied
from headrace_worker.store import Query

Sql: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
ASKED = [1.0, 0.0, 0.0, 0.0]
MODEL = "minilm-l6-v2"


@pytest.fixture
async def other(sink: Sink, settings: PgvectorSettings) -> Sink:
    """The same sink for a second model, with its own vectors."""
    settings = settings.model_copy(update={"model": "other"})
    store = PgvectorStore(settings)
    await store.prepare()
    await store.close()
    return Sink(sink.worker, settings, sink.records)


@pytest.fixture
async def other_stage(other: Sink) -> AsyncIterator[PgvectorStage]:
    assert isinstance(other.settings, PgvectorSettings)
    async with open_stage(other.settings) as opened:
        yield opened


def at_distance(sink: Sink, id: str, version: int, angle: float, text: str | None = None) -> Any:
    """An upsert whose vector has this angle to `ASKED`, in radians."""
    text = text or f"text of {id}"
    vector = np.asarray([np.cos(angle), np.sin(angle), 0, 0], dtype="<f4").tobytes()
    embedded = sink.embedding(text)
    embedding = Embedding(model=embedded.model, content_hash=embedded.content_hash, vector=vector)
    return sink.upsert("product", id, version, text, embedding=embedding)


async def found(store: PgvectorStore, limit: int = 10) -> list[str]:
    return [hit.id for hit in await store.search(Query("", limit=limit, vector=ASKED))]


async def test_vectors_of_entities_that_another_model_deleted_use_up_no_limit(
    sink: Sink, stage: PgvectorStage, other: Sink, other_stage: PgvectorStage, store: PgvectorStore
) -> None:
    near = [at_distance(sink, f"near-{number:03}", 1, 0.001 * number) for number in range(200)]
    far = [at_distance(sink, f"far-{number}", 1, 1 + 0.01 * number) for number in range(10)]
    await stage.apply(near + far)
    assert await found(store) == [f"near-{number:03}" for number in range(10)]
    await other_stage.apply([other.delete("product", change.id, 2) for change in near])
    assert await found(store) == [f"far-{number}" for number in range(10)]
    assert await found(store, 1) == ["far-0"]
    assert {entity.content_hash for entity in (await store.get("product", ["near-000"])).values()} == {None}


async def test_a_vector_of_another_text_is_not_served_until_its_model_has_read_the_change(
    sink: Sink, stage: PgvectorStage, other: Sink, other_stage: PgvectorStage, store: PgvectorStore
) -> None:
    before = [at_distance(sink, id, 1, angle) for id, angle in (("text", 0.1), ("price", 0.2), ("same", 0.3))]
    await stage.apply(before)
    await other_stage.apply([at_distance(other, change.id, 1, 0.1) for change in before])
    changes = ("text", 2, 0.1, "another text"), ("price", 2, 0.2)
    await other_stage.apply([at_distance(other, *change) for change in changes])
    assert await found(store) == ["price", "same"]
    stored = await store.get("product", ["text", "price"])
    assert {id: entity.content_hash for id, entity in stored.items()} == {
        "text": None,
        "price": before[1].embedding.content_hash,
    }
    assert list(await stage.apply([at_distance(sink, *change) for change in changes])) == [Applied()] * 2
    assert await found(store) == ["text", "price", "same"]


async def test_rows_and_vectors_of_a_worker_that_stores_no_content_hashes_are_served(
    sink: Sink, stage: PgvectorStage, store: PgvectorStore, sql: Sql
) -> None:
    await stage.apply([at_distance(sink, "a", 1, 0.1), at_distance(sink, "b", 1, 0.2)])
    # The version before wrote "a" before the upgrade, and "b" after it: it does not know the columns.
    await sql.execute("""
        UPDATE headrace.products SET content_hashes = NULL, hashed_version = NULL WHERE product_id = 'a';
        UPDATE headrace.products SET version = 2 WHERE product_id = 'b';
        UPDATE headrace."product_vectors__minilm-l6-v2" SET content_hash = 'newer' WHERE product_id = 'b';
    """)
    assert await found(store) == ["a", "b"]


async def test_more_dead_vectors_than_an_index_scan_visits_hide_no_entity(
    sink: Sink, stage: PgvectorStage, store: PgvectorStore, sql: Sql
) -> None:
    # The dead vectors are copied, because writing as many with the stage takes longer.
    await stage.apply([at_distance(sink, f"far-{number}", 1, 1 + 0.01 * number) for number in range(3)])
    await sql.execute("""
        INSERT INTO headrace."product_vectors__minilm-l6-v2" (product_id, content_hash, embedding)
        SELECT 'dead-' || n, 'dead', format('[1,%s,0,0]', n / 1e6)::vector FROM generate_series(1, 2000) n;
    """)
    name = await sql.fetchval("SELECT current_database()")
    # Only the HNSW index gives the order without a sort, which the plan for so few rows would prefer.
    for setting in ("hnsw.max_scan_tuples = 100", "enable_seqscan = off", "enable_sort = off"):
        await sql.execute(f"ALTER DATABASE {name} SET {setting}")
    assert await found(store, 2) == ["far-0", "far-1"]


async def test_a_search_with_dead_vectors_goes_through_the_hnsw_index(
    sink: Sink, stage: PgvectorStage, sql: Sql
) -> None:
    await stage.apply([sink.upsert("product", f"{number:04}", 1, f"text {number}") for number in range(2500)])
    await sql.execute("ANALYZE")
    await register_vector(sql)
    search = Tables("product", MODEL).nearest()
    for limit in (10, 100):
        plan = await sql.fetch("EXPLAIN " + search, np.asarray(ASKED, dtype=np.float32), limit)
        assert f"product_vectors__{MODEL}_hnsw" in " ".join(row[0] for row in plan)
