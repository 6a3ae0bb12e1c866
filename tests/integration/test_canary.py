"""The canary beside a running pipeline: it measures every store, and no reader of users' data finds it."""

import asyncio
import itertools
import json
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest
import pytest_asyncio
from harness.processes import WorkerProcess
from harness.records import eventually, publish, read_all
from harness.servers import SERVERS, Servers
from prometheus_client.parser import text_string_to_metric_families
from qdrant_client import AsyncQdrantClient, models

from headrace_cli.kafka_topics import apply_topics
from headrace_clients.group_lag import installed_groups
from headrace_local.ports import free_ports
from headrace_schemas.canary import CANARY_ID, CANARY_WORDS
from headrace_worker.settings import CommonSettings
from headrace_worker.store import Query
from headrace_worker.worker import load_worker, rejecting_names

pytestmark = pytest.mark.asyncio(loop_scope="module")

STORES = ("elasticsearch", "pgvector", "qdrant")
LINK_STORES = ("elasticsearch", "link", "pgvector")
WORKERS = ("embed", "link", *STORES)
CHANGES = ("upsert", "delete")
WAITS = "another copy works"
SEARCHES = 2 * len(STORES) + len(LINK_STORES)
WITHIN = 60.0


class Running:
    """The workers of one installation, each a process, and two copies of the canary, of which the first one runs.

    `port`: of the canary that `get` and `samples` read.
    """

    def __init__(self, servers: Servers, directory: Path) -> None:
        self.servers = servers
        self.variables = {
            "TOPIC_PREFIX": f"c{uuid.uuid4().hex[:8]}.",
            "NAMESPACE": f"c{uuid.uuid4().hex[:8]}",
            "CANARY__INTERVAL": "1",
        }
        self.settings = servers.settings(CommonSettings, *SERVERS, **self.variables)
        environment = dict(servers.need()) | {f"HEADRACE_{name}": value for name, value in self.variables.items()}
        self.workers = {name: WorkerProcess(name, environment, directory) for name in WORKERS}
        self.port, self.second_port = free_ports(2)
        self.canary, self.second = (
            WorkerProcess("canary", environment | {"HEADRACE_HTTP__PORT": str(port)}, directory, f"-{port}")
            for port in (self.port, self.second_port)
        )

    async def open(self, stack: AsyncExitStack) -> None:
        """Starts everything; `stores` and `links` are the read sides."""
        await apply_topics(self.settings, rejecting_names())
        self.stores: dict[str, Any] = {}
        for name in (*STORES, "link"):
            worker = load_worker(name)
            opener = worker.store or worker.links
            assert opener is not None
            self.stores[name] = opener(self.servers.settings(worker.settings, **self.variables))
            stack.push_async_callback(self.stores[name].close)
            await self.stores[name].prepare()
        for process in (*self.workers.values(), self.canary):
            process.start()
            stack.callback(process.end)

    def get(self, path: str) -> tuple[int, str]:
        """The status and the body of a route of the canary; 0 if it does not answer."""
        return fetched(f"http://127.0.0.1:{self.port}{path}")

    def samples(self, name: str, **labels: str) -> dict[tuple[str, ...], float]:
        """The values of a metric with these labels, by the values of its other labels."""
        found = {}
        for family in text_string_to_metric_families(self.get("/metrics")[1]):
            for sample in family.samples:
                if sample.name == name and labels.items() <= sample.labels.items():
                    others = {key: value for key, value in sample.labels.items() if key not in {*labels, "worker"}}
                    found[tuple(others[key] for key in sorted(others))] = sample.value
        return found


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Running]:
    made = Running(servers, tmp_path_factory.mktemp("canary"))
    async with AsyncExitStack() as stack:
        await made.open(stack)
        seen = "headrace_canary_last_seen_timestamp_seconds"
        await until(lambda: len(made.samples(seen)) == SEARCHES and bool(made.samples("headrace_group_lag")))
        yield made


async def until(condition: Callable[[], bool], within: float = WITHIN) -> None:
    async def met() -> bool:
        return await asyncio.to_thread(condition)

    await eventually(met, within=within)


async def test_searches_and_links_of_every_store_are_measured(running: Running) -> None:
    changes = set(itertools.product(CHANGES, ("product", "keyword"), STORES))
    links = set(itertools.product(CHANGES, LINK_STORES))

    def measured(name: str) -> set[tuple[str, ...]]:
        return {labels for labels, count in running.samples(f"{name}_count").items() if count}

    await until(lambda: measured("headrace_searchable_seconds") == changes)
    await until(lambda: measured("headrace_searchable_links_seconds") == links)
    assert running.get("/healthz")[0] == running.get("/readyz")[0] == 200
    assert running.samples("headrace_freshness_objective_seconds") == {(): 5.0}
    seen = running.samples("headrace_canary_last_seen_timestamp_seconds")
    assert len(seen) == SEARCHES
    assert min(seen.values()) > time.time() - 30
    missing = running.samples("headrace_canary_rounds_total", result="missing")
    assert set(missing.values()) == {0.0}
    assert len(missing) == len(seen)


async def test_no_reader_of_users_data_finds_the_canary(running: Running) -> None:
    """The words of the user's product and keyword are those of the canary, so that searches and links would find it."""
    now = {"op": "upsert", "version": 1, "occurred_at": "2026-01-01T00:00:00Z"}
    topics = running.settings.topics
    await publish(running.settings, topics.source("keyword"), [now | {"keyword_id": "k", "text": CANARY_WORDS}])
    await publish(running.settings, topics.source("product"), [now | {"product_id": "p", "title": CANARY_WORDS}])
    for name in LINK_STORES:
        await eventually(lambda store=running.stores[name]: has_links(store), within=WITHIN)

    anything = [1.0, *[0.0] * 383]
    for name in STORES:
        store = running.stores[name]
        await store.refresh()
        for kind, id in (("product", "p"), ("keyword", "k")):
            hits = await store.search(Query(CANARY_WORDS, kind, limit=100, vector=anything))
            assert [hit.id for hit in hits] == [id]
            assert await store.live_count(kind) == 1
            assert [entity.id async for entity in store.scan(kind)] == [id]
    for name in LINK_STORES:
        store = running.stores[name]
        assert [links.product_id async for links in store.scan_links()] == ["p"]
        assert [found.product_id for found in await store.products_of("k", 10)] == ["p"]
        assert await store.products_of(CANARY_ID, 10) == []
        assert [link.keyword_id for link in (await store.links_of(["p"]))["p"].links] == ["k"]


async def test_the_names_for_users_show_no_canary(running: Running) -> None:
    """Read as users read them, without the product's own code. The user's entities of the test before are there."""
    namespace, environment = running.variables["NAMESPACE"], running.servers.need()
    indices = environment["HEADRACE_ELASTICSEARCH__URL"]
    for alias in ("products", "keywords", "product_keywords"):
        assert json.loads(fetched(f"{indices}/{namespace}-{alias}/_count")[1])["count"] == 1, alias

    postgres = await asyncpg.connect(
        environment["HEADRACE_POSTGRES__DSN"], server_settings={"search_path": f"headrace_{namespace}"}
    )
    try:
        views = {"live_products": "p", "live_keywords": "k", "product_links": "p", "product_keywords": "p"}
        for view, id in views.items():
            assert [row[0] for row in await postgres.fetch(f"SELECT * FROM {view}")] == [id], view
    finally:
        await postgres.close()

    live = models.Filter(must=[models.FieldCondition(key="deleted", match=models.MatchValue(value=False))])
    client = AsyncQdrantClient(url=environment["HEADRACE_QDRANT__URL"], check_compatibility=False)
    try:
        for alias in ("products", "keywords", "product_links"):
            assert (await client.count(f"{namespace}-{alias}", count_filter=live, exact=True)).count == 1, alias
    finally:
        await client.close()


async def test_the_canary_causes_no_work_for_the_links_of_users(running: Running) -> None:
    """The user's product has fewer links than it may have, so that every keyword of users would concern it."""
    rounds = running.samples("headrace_canary_rounds_total", result="found")["product_links", "link"]
    found = [record.key for record in await read_all(running.settings, running.settings.topics.relink)]
    assert found.count(CANARY_ID.encode()) >= rounds > 3
    assert found.count(b"p") <= 3


@pytest.mark.long
async def test_the_lag_in_seconds_and_the_delay_grow_while_a_worker_is_stopped(running: Running) -> None:
    group = f"{running.settings.topic_prefix}elasticsearch"
    of_topic = {"group": group, "topic": running.settings.topics.source("product")}
    groups = {labels[0] for labels in running.samples("headrace_group_lag")}
    assert groups == {group.name for group in installed_groups(running.settings)}

    def slow(least: str) -> float:
        upserts = {"store": "elasticsearch", "kind": "product", "change": "upsert"}
        (count,) = running.samples("headrace_searchable_seconds_count", **upserts).values()
        (quick,) = running.samples("headrace_searchable_seconds_bucket", **upserts, le=least).values()
        return count - quick

    before = slow("3.0")
    running.workers["elasticsearch"].pause()
    try:
        await until(lambda: running.samples("headrace_group_lag_seconds", **of_topic).get((), 0) > 8)
        assert running.samples("headrace_group_lag", **of_topic)[()] >= 1
        assert slow("3.0") == before
    finally:
        running.workers["elasticsearch"].resume()
    await until(lambda: slow("3.0") > before)
    await until(lambda: running.samples("headrace_group_lag_seconds", **of_topic)[()] < 3)


@pytest.mark.long
async def test_a_refresh_every_five_seconds_shows_in_the_delays_of_its_store_alone(running: Running) -> None:
    indices, name = running.servers.need()["HEADRACE_ELASTICSEARCH__URL"], f"{running.variables['NAMESPACE']}-products"

    def delays(store: str) -> tuple[float, float]:
        """The number of upserts that were measured, and the sum of their delays."""
        labels = {"store": store, "kind": "product", "change": "upsert"}
        return tuple(  # type: ignore[return-value]  # two numbers
            running.samples(f"headrace_searchable_seconds_{what}", **labels)[()] for what in ("count", "sum")
        )

    async with httpx.AsyncClient(timeout=10) as http:
        answer = await http.put(f"{indices}/{name}/_settings", json={"index.refresh_interval": "5s"})
        answer.raise_for_status()
    before = {store: delays(store) for store in STORES}
    await until(lambda: delays("elasticsearch")[0] >= before["elasticsearch"][0] + 10, within=120.0)
    mean = {}
    for store in STORES:
        (count, total), (first, until_then) = delays(store), before[store]
        mean[store] = (total - until_then) / (count - first)
    # A change waits 2.5 s for the refresh on average, where it waits half a second by default.
    assert mean["elasticsearch"] > 1.5, mean
    assert mean["elasticsearch"] > max(mean["qdrant"], mean["pgvector"]), mean


@pytest.mark.long
async def test_one_of_two_copies_measures_and_the_other_takes_over_when_it_stops(running: Running) -> None:
    """Kafka decides which one measures, also when a copy joins."""
    first, copies = running.port, {running.port: running.canary, running.second_port: running.second}

    def measuring() -> dict[int, bool]:
        """By port, whether the copy measures; nothing of a copy that is not ready."""
        answers = {port: fetched(f"http://127.0.0.1:{port}/readyz") for port in copies}
        return {port: WAITS not in body for port, (status, body) in answers.items() if status == 200}

    running.second.start()
    try:
        await until(lambda: sorted(measuring().values()) == [False, True])
        found = measuring()
        (waiting,) = (port for port, measures in found.items() if not measures)
        (other,) = copies.keys() - {waiting}
        running.port = waiting
        assert running.samples("headrace_canary_last_seen_timestamp_seconds") == {}
        assert copies[other].stop() == 0
        await until(lambda: len(running.samples("headrace_canary_last_seen_timestamp_seconds")) == SEARCHES)
        assert measuring() == {waiting: True}
    finally:
        running.port = first
        running.second.end()


def fetched(url: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
    except OSError:
        return 0, ""


async def has_links(store: Any) -> bool:
    await store.refresh()
    links = (await store.links_of(["p"])).get("p")
    return links is not None and len(links.links) == 1
