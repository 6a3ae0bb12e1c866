"""Compares each sink on a full topic with its raw client, which writes the same rows in its best batches, unfenced."""

import asyncio
import json
import uuid
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import asyncpg
import numpy as np
from elasticsearch import AsyncElasticsearch
from pgvector.asyncpg import register_vector
from qdrant_client import AsyncQdrantClient, models

from benchmarks.measurement import Comparison, compared, rate, worker_rate
from benchmarks.topics import changes, embedded, fill, fresh_topics
from headrace_schemas.changes import ProductChange
from headrace_schemas.embedded import EmbeddedProduct
from headrace_worker.settings import WorkerSettings
from headrace_worker.worker import load_worker

FIELDS = ProductChange.field_names
Row = dict[str, Any]
Raw = Callable[[Sequence[Any]], Awaitable[None]]


def parts(rows: Sequence[Any], size: int) -> list[Sequence[Any]]:
    return [rows[start : start + size] for start in range(0, len(rows), size)]


async def in_flight(limit: int, work: Sequence[Awaitable[Any]]) -> None:
    """Awaits all of them, at most `limit` at the same time."""
    slots = asyncio.Semaphore(limit)

    async def one(each: Awaitable[Any]) -> None:
        async with slots:
            await each

    await asyncio.gather(*map(one, work))


async def compare_sink(name: str, settings: Any, records: int, raw: Raw) -> list[Comparison]:
    """Measures inserts and overwrites, each against the raw client on the same number of rows."""
    worker = load_worker(name)
    assert worker.store is not None
    store = worker.store(settings)
    await store.prepare()
    await store.close()
    takes_vectors = name != "elasticsearch"
    model = EmbeddedProduct if takes_vectors else ProductChange

    def rows(run: str, version: int) -> list[Row]:
        made = changes(records, version, run)
        return embedded(made, settings.model, version) if takes_vectors else made

    async def ours(run: str, version: int) -> float:
        fresh = await fresh_topics(settings, name)
        kind_topic = fresh.topics.embedded("product", fresh.model) if takes_vectors else fresh.topics.source("product")
        await fill(fresh, kind_topic, rows(run, version))
        return await worker_rate(worker, fresh, records)

    async def theirs(run: str, version: int) -> float:
        decoded = [model.model_validate_json(json.dumps(row)) for row in rows(run, version)]
        return await rate(records, raw(decoded))

    mine, other = uuid.uuid4().hex[:6], uuid.uuid4().hex[:6]
    inserts = await compared(
        f"{name}, inserts",
        "raw client, unfenced",
        0.7,
        lambda number: ours(f"{mine}{number}", 1),
        lambda number: theirs(f"{other}{number}", 1),
    )
    overwrites = await compared(
        f"{name}, overwrites",
        "raw client, unfenced",
        0.7,
        lambda number: ours(f"{mine}{number}", 2),
        lambda number: theirs(f"{other}{number}", 2),
    )
    return [inserts, overwrites]


def present(change: Any) -> Row:
    return {name: value for name, value in change.fields().items() if value is not None}


async def qdrant(settings: Any, records: int) -> list[Comparison]:
    """Raw: 256 points a request, four in flight, wait=true."""
    client = AsyncQdrantClient(url=settings.qdrant.url, prefer_grpc=settings.qdrant.prefer_grpc, timeout=60)
    size = models.VectorParams(size=384, distance=models.Distance.COSINE)
    await client.create_collection("raw", {"dense": size})

    async def raw(rows: Sequence[Any]) -> None:
        def points(part: Sequence[Any]) -> list[models.PointStruct]:
            return [
                models.PointStruct(
                    id=str(uuid.uuid5(uuid.NAMESPACE_URL, row.id)),
                    vector={"dense": np.frombuffer(row.embedding.vector, "<f4").tolist()},
                    payload=present(row) | {"version": row.version, "deleted": False},
                )
                for row in part
            ]

        async def send(part: Sequence[Any]) -> None:
            await client.upsert("raw", points(part), wait=True)

        await in_flight(4, [send(part) for part in parts(rows, 256)])

    try:
        return await compare_sink("qdrant", settings, records, raw)
    finally:
        await client.close()


async def elasticsearch(settings: Any, records: int) -> list[Comparison]:
    """Raw: 1,000 documents a bulk request, four in flight, into an index of the same mapping."""
    client = AsyncElasticsearch(settings.elasticsearch.url, request_timeout=60)
    store = load_worker("elasticsearch").store
    assert store is not None
    await store(settings).prepare()
    mapping = await client.indices.get_mapping(index="products")
    (described,) = [dict(index)["mappings"] for index in mapping.body.values()]
    await client.indices.create(index="raw", mappings=described, settings={"number_of_replicas": 0})

    async def raw(rows: Sequence[Any]) -> None:
        async def send(part: Sequence[Any]) -> None:
            lines: list[Row] = []
            for row in part:
                lines += [{"index": {"_id": row.id}}, present(row) | {"version": row.version}]
            answer = await client.bulk(index="raw", operations=lines)
            assert not answer["errors"]

        await in_flight(4, [send(part) for part in parts(rows, 1000)])

    try:
        return await compare_sink("elasticsearch", settings, records, raw)
    finally:
        await client.close()


async def pgvector(settings: Any, records: int) -> list[Comparison]:
    """Raw: binary COPY of 500 rows into a temporary table and INSERT … ON CONFLICT DO UPDATE, four connections."""
    columns = [*FIELDS, "version", "embedding"]

    async def prepared(connection: asyncpg.Connection) -> None:
        await register_vector(connection)
        await connection.execute("CREATE TEMP TABLE IF NOT EXISTS raw_in (LIKE raw)")

    dsn = settings.postgres.dsn.get_secret_value()
    setup = await asyncpg.connect(dsn)
    await setup.execute("CREATE EXTENSION IF NOT EXISTS vector")
    text = ", ".join(f"{name} {'float8' if name == 'price' else 'text'}" for name in FIELDS[1:])
    await setup.execute(
        f"CREATE TABLE raw (product_id text PRIMARY KEY, {text}, version bigint, embedding vector(384))"
    )
    await setup.execute("CREATE INDEX ON raw USING hnsw (embedding vector_cosine_ops)")
    await setup.close()
    pool = await asyncpg.create_pool(dsn, min_size=4, max_size=4, init=prepared)
    updates = ", ".join(f"{name} = excluded.{name}" for name in columns[1:])

    def record(row: Any) -> tuple[Any, ...]:
        fields = [json.dumps(value) if isinstance(value, dict) else value for value in row.fields().values()]
        return (*fields, row.version, np.frombuffer(row.embedding.vector, "<f4"))

    async def raw(rows: Sequence[Any]) -> None:
        async def send(part: Sequence[Any]) -> None:
            async with pool.acquire() as connection, connection.transaction():
                await connection.execute("TRUNCATE raw_in")
                await connection.copy_records_to_table("raw_in", records=[record(row) for row in part], columns=columns)
                await connection.execute(
                    f"INSERT INTO raw SELECT * FROM raw_in ORDER BY 1 ON CONFLICT (product_id) DO UPDATE SET {updates}"
                )

        await in_flight(4, [send(part) for part in parts(rows, 500)])

    try:
        return await compare_sink("pgvector", settings, records, raw)
    finally:
        await pool.close()


def settings_of(name: str, kind: type[WorkerSettings] | None = None) -> Any:
    """The worker's own settings, from the environment."""
    return (kind or load_worker(name).settings)()
