"""An installation of the release before is upgraded as docs/operations.md says, and ends right."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Mapping, Set
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from aiokafka import AIOKafkaProducer
from harness.records import receipts
from harness.servers import SERVERS, Servers
from upgrade.loading import load, newest
from upgrade.make_data import FIRST, SECOND, keyword, product

from headrace_demo.current_embeddings import read_embeddings
from headrace_demo.link_comparison import compare_links
from headrace_schemas.canary import CANARY_ID
from headrace_schemas.links import ProductLinks
from headrace_schemas.topics import SOURCE_NAMES
from headrace_worker.settings import CommonSettings
from headrace_worker.worker import load_worker

HEADRACE = Path(sys.executable).with_name("headrace")
REJECTED = ("p5", "p6", "p7")
"""The products of which the change with version 2 is a dead letter."""
WORKERS = ("embed", "elasticsearch", "qdrant", "pgvector", "link")
UPDATE = {
    "products": [product(0, 2, title="A lamp of glass"), product(6, 3)],
    "keywords": [keyword(9, 1, text="glass")],
}
REDELIVERED = {"products": [product(1, 2, price=99.0), product(8, 1)], "keywords": [keyword(0, 1)]}
EDITED = {"products": [product(5, 2, price=15.0)]}
OTHER_CONTENT = {"products": [product(9, 1, price=1.0)]}
"""A version that the stores have without a digest, so that they cannot know that it differs."""


@pytest.fixture(scope="module")
def own_servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    made = Servers(tmp_path_factory.mktemp("stack"))
    yield made
    made.destroy()


@pytest.fixture(scope="module")
def environment(own_servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HEADRACE_")}
    own = {"HEADRACE_CACHE_DIR": str(tmp_path_factory.mktemp("vectors"))}
    return kept | dict(own_servers.need(*SERVERS)) | own


@pytest.mark.servers
@pytest.mark.long
async def test_the_stores_topics_and_letters_of_the_release_before_are_upgraded_and_end_right(
    own_servers: Servers, environment: dict[str, str], tmp_path: Path
) -> None:
    await load(environment)
    settings = own_servers.settings(CommonSettings)
    before = await decisions(environment)
    corrected = headrace(environment, "topics", "apply")["changes"]
    assert "corrected the settings of topic headrace.products" in corrected
    prepared = headrace(environment, "stores", "apply")
    assert "alias product_keywords__minilm-l6-v2 on product_keywords-v1" in prepared["elasticsearch"]
    assert "postgres: the table product_links is now product_links__minilm-l6-v2" in prepared["pgvector"]
    assert not any(headrace(environment, "stores", "apply").values())
    # Nothing is lost before a worker has started.
    await check(own_servers, newest(FIRST, valid(SECOND)))
    told = {worker: await receipts(settings, worker) for worker in WORKERS}
    with working(environment):
        # The groups that are named by model continue where those of the release before stopped.
        headrace(environment, "wait", "--timeout", "240")
        for worker in WORKERS:
            more = (await receipts(settings, worker)).keys() - told[worker].keys()
            assert {one.id for at, one in (await receipts(settings, worker)).items() if at in more} <= {CANARY_ID}
        await publish(environment, UPDATE)
        await publish(environment, REDELIVERED)
        await publish(environment, OTHER_CONTENT)
        headrace(environment, "wait", "--timeout", "240")
        await check(own_servers, newest(FIRST, valid(SECOND), UPDATE))
        assert await decisions(environment) == before
        # The parked letter of p6 is as wrong as before: its replay fails, and touches no store.
        headrace(environment, "dead", "replay", "--status", "parked", "--reason", "after the upgrade", fails=True)
        headrace(environment, "wait", "--timeout", "240", fails=True)
        await check(own_servers, newest(FIRST, valid(SECOND), UPDATE))
        assert ("embed", "p6", 1, "parked") in before
        assert ("embed", "p6", 2, "waiting") in await decisions(environment, {"waiting", "discarded"})
        edit(environment, tmp_path / "letters.jsonl")
        headrace(environment, "wait", "--timeout", "240")
        await check(own_servers, newest(FIRST, valid(SECOND), UPDATE, EDITED))
    for worker in ("elasticsearch", "qdrant", "pgvector"):
        outcomes = {receipt.outcome for receipt in (await receipts(settings, worker)).values()}
        assert outcomes <= {"applied", "superseded", "dead"}, worker


def edit(environment: Mapping[str, str], file: Path) -> None:
    """Replays a letter of the release before, which fails again, and edits it; a newer version refuses another edit."""
    headrace(environment, "dead", "replay", "--worker", "elasticsearch", "--key", "p5", fails=True)
    lines = [headrace(environment, "dead", "export", "--key", key) for key in ("p5", "p6")]
    file.write_text("".join(json.dumps(line | {"value": line["value"] | {"price": 15.0}}) + "\n" for line in lines))
    done = headrace(environment, "dead", "import", str(file), "--answer-within", "120", fails=True)
    assert [(one["id"], one["version"]) for one in done["versions"]] == [("p5", 2)]
    assert [one["line"] for one in done["refused"]] == [2]
    letters = headrace(environment, "dead", "ls", "--key", "p5")
    assert {(letter["worker"], letter["status"]) for letter in letters} == {
        ("elasticsearch", "superseded"), ("embed", "superseded")
    }  # fmt: skip


def valid(changes: dict[str, list[dict[str, Any]]]) -> dict[str, list[dict[str, Any]]]:
    """Without the records that are dead letters."""
    kept = [change for change in changes["products"] if change["product_id"] not in REJECTED]
    return {**changes, "products": kept}


async def check(servers: Servers, expected: Mapping[str, Mapping[str, dict[str, Any]]]) -> None:
    """Every store has the newest changes, and each product has its exact nearest keywords."""
    for name in ("elasticsearch", "qdrant", "pgvector"):
        worker = load_worker(name)
        assert worker.store is not None
        store = worker.store(servers.settings(worker.settings))
        await store.refresh()
        for kind, topic in SOURCE_NAMES.items():
            stored = {entity.id: entity async for entity in store.scan(kind)}
            assert {id: (one.version, one.deleted) for id, one in stored.items()} == {
                id: (change["version"], change["op"] == "delete") for id, change in expected[topic].items()
            }
            for id, entity in stored.items():
                wanted = {field: value for field, value in expected[topic][id].items() if field in entity.fields}
                assert entity.fields == wanted, (name, id)
        await store.close()
    settings = servers.settings(CommonSettings)
    products, keywords = await read_embeddings(settings, "product"), await read_embeddings(settings, "keyword")
    for name in ("elasticsearch", "pgvector", "link"):
        comparison = await compare_links(link_sets(servers, name), products, keywords, k=30, min_score=-1.0)
        assert (name, comparison.differences, comparison.products) == (name, [], len(products.ids))


async def link_sets(servers: Servers, name: str) -> AsyncIterator[ProductLinks]:
    worker = load_worker(name)
    assert worker.links is not None
    store = worker.links(servers.settings(worker.settings))
    await store.refresh()
    async for links in store.scan_links():
        yield links
    await store.close()


async def decisions(
    environment: Mapping[str, str], statuses: Set[str] = frozenset({"waiting", "parked", "discarded"})
) -> list[tuple[Any, ...]]:
    """The letters with their attempts and the decisions of operators, as the index has them."""
    connection = await asyncpg.connect(environment["HEADRACE_POSTGRES__DSN"])
    query = "SELECT worker, entity_id, attempts, status::text FROM headrace.dead_letters ORDER BY dead_id"
    rows = await connection.fetch(query)
    await connection.close()
    assert {row["status"] for row in rows} >= statuses
    return [tuple(row) for row in rows]


async def publish(environment: Mapping[str, str], changes: dict[str, list[dict[str, Any]]]) -> None:
    async with AIOKafkaProducer(bootstrap_servers=environment["HEADRACE_KAFKA__BOOTSTRAP_SERVERS"]) as producer:
        for topic, records in changes.items():
            for record in records:
                key = record[f"{topic[:-1]}_id"].encode()
                await producer.send_and_wait(f"headrace.{topic}", json.dumps(record).encode(), key=key)


@contextmanager
def working(environment: Mapping[str, str]) -> Iterator[None]:
    """Every worker, under its supervisor."""
    process = subprocess.Popen([HEADRACE, "work"], env=environment)
    try:
        yield
        assert process.poll() is None
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)


def headrace(environment: Mapping[str, str], *arguments: str, fails: bool = False) -> Any:
    done = subprocess.run(
        [HEADRACE, *arguments, "--json"], env=environment, capture_output=True, text=True, check=False
    )
    assert fails or done.returncode == 0, (arguments, done.stdout[-2000:], done.stderr[-2000:])
    return json.loads(done.stdout) if done.stdout.strip() else None
