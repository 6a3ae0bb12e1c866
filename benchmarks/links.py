"""Links: compares a sweep with a plain loop, and measures one keyword's change from publication to Elasticsearch.

The vectors of keywords come from the model, through `embed`; those of products are mixtures of three of them and noise,
because embedding so many products would take longer than everything else.
"""

import asyncio
import base64
import hashlib
import os
import statistics
import time
import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
from elasticsearch import AsyncElasticsearch
from numpy.typing import NDArray
from qdrant_client import AsyncQdrantClient, models

from benchmarks.measurement import Comparison, Figure, compared, rate
from benchmarks.processes import working
from benchmarks.topics import SEED, fill
from headrace_cli.kafka_topics import apply_topics
from headrace_cli.relink_requests import publish_requests
from headrace_clients.qdrant import VECTOR, collection_of
from headrace_clients.topic_reader import TopicReader, open_topics
from headrace_demo.catalogue.keywords import keyword
from headrace_demo.catalogue.keywords import keywords as made_keywords
from headrace_demo.catalogue.products import products as made_products
from headrace_demo.current_embeddings import read_embeddings
from headrace_demo.readiness import until_ready
from headrace_link.collection import collection_name
from headrace_link.log_ends import LogEnds
from headrace_link.settings import LinkSettings
from headrace_local.ports import free_ports
from headrace_schemas.links import Sweep
from headrace_schemas.receipts import Receipts
from headrace_worker.worker import worker_names

WORKERS = ("embed", "qdrant", "link", "elasticsearch")
K = 30
LOOK_SECONDS = 0.1
LOOP_PRODUCTS = 500
"""The plain loop is timed on so many products; all of them would take minutes."""
NOISE = 0.6
"""Length of the noise vector; the mixture that it is added to has length one."""
CONCERNED = 0.005
"""A share of all products. Changes that concern more are left out of the comparison with a sweep."""

Vectors = NDArray[np.float32]


@dataclass(frozen=True)
class Bench:
    """A catalogue in Qdrant, with running workers."""

    settings: LinkSettings
    ends: LogEnds
    receipts: TopicReader
    products: int

    async def settled(self) -> None:
        """Returns when every published record, and every record that follows from it, is consumed."""
        prefix, topics, model = self.settings.topic_prefix, self.settings.topics, self.settings.model
        walked = [
            (f"embed.{model}", topics.source("keyword")),
            ("qdrant", topics.embedded("keyword", model)),
            ("qdrant", topics.embedded("product", model)),
            (f"link.{model}.receipts", topics.receipts),
            *[(f"link.{model}", topics.relink), (f"link.{model}", topics.relink_bulk)] * 3,
            ("elasticsearch", topics.product_links),
        ]
        for group, topic in walked:
            pinned = await self.ends.of_topic(topic)
            while True:
                if not await self.ends.left(f"{prefix}{group}", pinned):
                    break
                await asyncio.sleep(LOOK_SECONDS)

    async def requests(self) -> int:
        """Returns how many requests and markers have been published."""
        topics = self.settings.topics
        ends = [await self.ends.of_topic(topic) for topic in (topics.relink, topics.relink_bulk)]
        return sum(end for of_topic in ends for end in of_topic.values())

    async def last_readable(self) -> float | None:
        """When Elasticsearch stored the last link set since the last call, in seconds since the epoch; None: no set."""
        found = [
            report.applied_at.timestamp()
            async for record in self.receipts.until_now()
            if (report := Receipts.model_validate_json(record.value)).worker == "elasticsearch"
            and any(receipt.kind == "product_links" for receipt in report.receipts)
        ]
        return max(found, default=None)

    async def publish_keywords(self, rows: Sequence[Mapping[str, Any]]) -> None:
        now = datetime.now(UTC).isoformat()
        changes = [dict(row) | {"op": "upsert", "occurred_at": now} for row in rows]
        await fill(self.settings, self.settings.topics.source("keyword"), changes, "keyword_id")

    async def sweep(self) -> float:
        """Returns products a second, from the marker to the last link set in Elasticsearch."""
        began = time.perf_counter()
        await publish_requests(self.settings, [Sweep()])
        await self.settled()
        return self.products / (time.perf_counter() - began)


async def run(environment: Mapping[str, str], products: int, keywords: int, changes: int) -> list[Comparison | Figure]:
    """Links `products` × `keywords`, then measures `changes` of keywords one after the other."""
    async with AsyncExitStack() as stack:
        bench = await stack.enter_async_context(_workers(environment, products))
        client = AsyncQdrantClient(url=bench.settings.qdrant.url, timeout=60)
        stack.push_async_callback(client.close)
        await bench.publish_keywords(list(made_keywords(SEED, keywords)))
        await bench.settled()
        mixed = mixtures((await read_embeddings(bench.settings, "keyword")).vectors, products)
        await fill(bench.settings, bench.settings.topics.embedded("product", bench.settings.model), _rows(bench, mixed))
        await bench.settled()

        elasticsearch = AsyncElasticsearch(environment["HEADRACE_ELASTICSEARCH__URL"], request_timeout=60)
        stack.push_async_callback(elasticsearch.close)
        loop = await _plain_loop(bench, client, elasticsearch, mixed)

        async def sweep_from_nothing(number: int) -> float:
            # Without its content, every set is new: all of them are published, and written to Elasticsearch.
            everything = models.FilterSelector(filter=models.Filter())
            await client.delete(collection_name(bench.settings.names), everything, wait=True)
            return await bench.sweep()

        swept = await compared(
            "links: a sweep that writes every set",
            "one top-K query and one bulk write at a time",
            5,
            sweep_from_nothing,
            lambda number: rate(LOOP_PRODUCTS, loop()),
        )
        unchanged = products / await bench.sweep()
        return [swept, *await _one_change_each(bench, keywords, changes, unchanged)]


async def _one_change_each(bench: Bench, keywords: int, changes: int, sweep_seconds: float) -> list[Figure]:
    """Changes the text of one keyword at a time. `sweep_seconds`: duration of a sweep that changes no set."""
    await bench.last_readable()
    seconds: list[float] = []
    few: list[float] = []
    concerned: list[int] = []
    for number in range(changes):
        chosen = number * keywords // changes
        before = await bench.requests()
        began = time.time()
        await bench.publish_keywords([keyword(SEED, chosen, version=2, wording=1)])
        await bench.settled()
        requests, readable = await bench.requests() - before, await bench.last_readable()
        concerned.append(requests)
        if readable is not None:
            seconds.append(readable - began)
            if requests <= CONCERNED * bench.products:
                few.append(readable - began)
    p50, p99 = (float(np.percentile(seconds, q)) for q in (50, 99))
    return [
        Figure("links: products that a re-worded keyword concerns, median", statistics.median(concerned), ""),
        Figure("links: a sweep that changes nothing", sweep_seconds, "s"),
        Figure("links: keyword published to its last new link set in Elasticsearch, p50", p50, "s"),
        Figure("links: the same, p99", p99, "s"),
        Figure(
            f"links: that sweep against a change that concerns ≤ 0.5 % of products (median of {len(few)})",
            sweep_seconds / statistics.median(few) if few else float("nan"),
            "×",
            100,
        ),
    ]


async def _plain_loop(
    bench: Bench, client: AsyncQdrantClient, elasticsearch: AsyncElasticsearch, vectors: Vectors
) -> Any:
    """Does what a nightly job would do: for each product one top-K query and one bulk request."""
    index = f"plain-{uuid.uuid4().hex[:6]}"
    aliased = await elasticsearch.indices.get_mapping(index="product_keywords")
    (described,) = [dict(found)["mappings"] for found in aliased.body.values()]
    await elasticsearch.indices.create(index=index, mappings=described, settings={"number_of_replicas": 0})
    live = models.Filter(must=[models.FieldCondition(key="deleted", match=models.MatchValue(value=False))])
    collection = collection_of("keyword", bench.settings.names)

    async def loop() -> None:
        for number in range(LOOP_PRODUCTS):
            answer = await client.query_points(
                collection,
                query=vectors[number].tolist(),
                using=VECTOR,
                limit=K,
                query_filter=live,
                search_params=models.SearchParams(exact=True),
                with_payload=["keyword_id", "text"],
            )
            linked = [
                (point.payload or {}) | {"score": point.score, "rank": rank}
                for rank, point in enumerate(answer.points, 1)
            ]
            document = {"product_id": f"b-{number}", "title": f"product {number}", "keywords": linked, "deleted": False}
            answered = await elasticsearch.bulk(
                index=index, operations=[{"index": {"_id": f"b-{number}"}}, document | {"version": 1}]
            )
            assert not answered["errors"]

    return loop


def mixtures(vectors: Vectors, count: int) -> Vectors:
    """Returns (count, d) float32 of unit length, each near three of `vectors`."""
    random = np.random.default_rng(SEED)
    mixed = vectors[random.integers(0, len(vectors), (count, 3))].sum(axis=1)
    mixed /= np.linalg.norm(mixed, axis=1, keepdims=True)
    noise = random.standard_normal(mixed.shape)
    mixed = mixed + NOISE * noise / np.linalg.norm(noise, axis=1, keepdims=True)
    normalised: Vectors = (mixed / np.linalg.norm(mixed, axis=1, keepdims=True)).astype("<f4")
    return normalised


def _rows(bench: Bench, vectors: Vectors) -> list[dict[str, Any]]:
    now = datetime.now(UTC).isoformat()
    rows = []
    for row, vector in zip(made_products(SEED, len(vectors)), vectors, strict=True):
        embedding = {
            "model": bench.settings.model,
            "content_hash": hashlib.sha256(row["product_id"].encode()).hexdigest(),
            "vector": base64.b64encode(vector.tobytes()).decode(),
        }
        rows.append(row | {"op": "upsert", "version": 1, "occurred_at": now, "embedding": embedding})
    return rows


@asynccontextmanager
async def _workers(environment: Mapping[str, str], products: int) -> AsyncIterator[Bench]:
    """Runs the workers between a keyword and its links in Elasticsearch as processes, on new topics."""
    prefix = f"bench-{uuid.uuid4().hex[:8]}."
    variables = {**os.environ, **environment, "HEADRACE_TOPIC_PREFIX": prefix, "HEADRACE_LOG_LEVEL": "warning"}
    settings = LinkSettings().model_copy(update={"topic_prefix": prefix})
    await apply_topics(settings, worker_names())
    ports = dict(zip(WORKERS, free_ports(len(WORKERS)), strict=True))
    ends = LogEnds(settings.kafka)
    try:
        async with working(WORKERS, variables, ports):
            await until_ready(ports, 120)
            async with open_topics(settings.kafka, [settings.topics.receipts]) as receipts:
                yield Bench(settings, ends, receipts, products)
    finally:
        await ends.close()
