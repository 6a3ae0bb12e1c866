"""The embedding model changes under a live stream: searches answer with one model at a time and never mix."""

import asyncio
import itertools
import json
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from harness.forked_command import inherited
from harness.processes import WorkerProcess
from harness.records import eventually, keyword, product, publish
from harness.servers import SERVERS, Servers

from headrace_clients.kafka import producer
from headrace_embed.model_files import model_files
from headrace_worker.model_catalogue import catalogue_model
from headrace_worker.settings import WorkerSettings
from headrace_worker.worker import load_worker

pytestmark = [pytest.mark.servers, pytest.mark.long]

FORMER, OTHER = "minilm-l6-v2", "multilingual-e5-small"
WORKERS = ("embed", "qdrant", "pgvector", "elasticsearch", "link")
PRODUCTS = [f"p{number}" for number in range(30)]
KEYWORDS = [f"k{number}" for number in range(8)]


class Installed:
    """Two models on one set of topics. The other one has the weights of the first, with other prefixes."""

    def __init__(self, servers: Servers, directory: Path) -> None:
        run = uuid.uuid4().hex[:8]
        self.servers, self.directory = servers, directory
        self.variables = {"TOPIC_PREFIX": f"g{run}.", "NAMESPACE": f"g{run}", "KAFKA__SESSION_TIMEOUT": "6"}
        self.settings = servers.settings(WorkerSettings, *SERVERS, **self.variables)
        self.weights = str(model_files(catalogue_model(FORMER)).folder)
        self.workers: dict[str, list[WorkerProcess]] = {}
        self.version = 1

    def environment(self, model: str) -> dict[str, str]:
        own = {f"HEADRACE_{name}": value for name, value in self.variables.items()}
        second = {"HEADRACE_MODEL_DIR": self.weights, "HEADRACE_GROUPS_BY_MODEL": "true"}
        folder = second if model == OTHER else {}
        return dict(self.servers.need()) | own | folder | {"HEADRACE_MODEL": model}

    def start(self, model: str) -> None:
        made = [WorkerProcess(name, self.environment(model), self.directory, model) for name in WORKERS]
        self.workers[model] = made
        for worker in made:
            worker.start()

    def end(self, model: str) -> None:
        for worker in self.workers.pop(model, []):
            worker.end()

    async def leave(self, model: str) -> None:
        """Ends the workers of a model. Kafka has forgotten them afterwards."""
        self.end(model)
        await asyncio.sleep(10)

    async def headrace(self, model: str, *arguments: str, fails: bool = False) -> str:
        done = await asyncio.to_thread(
            subprocess.run,
            [sys.executable, "-m", "headrace_cli", *arguments],
            env=inherited() | self.environment(model),
            capture_output=True,
            text=True,
            check=False,
        )
        assert fails == bool(done.returncode), (arguments, done.stdout, done.stderr)
        return done.stdout + done.stderr

    async def linked(self, model: str, store: str) -> bool:
        """Whether each product has its links in the store, as this model's readers find them."""
        worker = load_worker(store)
        assert worker.links is not None
        opened = worker.links(self.servers.settings(worker.settings, *SERVERS, **self.variables, MODEL=model))
        try:
            await opened.refresh()
            found = await opened.links_of(PRODUCTS)
            return len(found) == len(PRODUCTS) and all(len(links.links) == len(KEYWORDS) for links in found.values())
        finally:
            await opened.close()

    async def break_links(self, model: str, product_id: str) -> None:
        """Changes the score of the product's best keyword in PostgreSQL."""
        names = self.servers.settings(WorkerSettings, *SERVERS, **self.variables, MODEL=model).names
        connection = await asyncpg.connect(self.environment(model)["HEADRACE_POSTGRES__DSN"])
        try:
            table = f'{names.schema}."product_keywords__{model}"'
            done = await connection.execute(
                f"UPDATE {table} SET score = 0.01 WHERE product_id = $1 AND rank = 1", product_id
            )
        finally:
            await connection.close()
        assert done == "UPDATE 1"

    async def scores(self, model: str, store: str) -> dict[str, list[float]]:
        worker = load_worker(store)
        assert worker.links is not None
        opened = worker.links(self.servers.settings(worker.settings, *SERVERS, **self.variables, MODEL=model))
        try:
            await opened.refresh()
            found = await opened.links_of(PRODUCTS)
            return {id: [round(link.score, 4) for link in links.links] for id, links in found.items()}
        finally:
            await opened.close()


@pytest.fixture
async def installed(servers: Servers, tmp_path: Path) -> AsyncIterator[Installed]:
    made = Installed(servers, tmp_path)
    await made.headrace(FORMER, "topics", "apply")
    await made.headrace(FORMER, "stores", "apply")
    made.start(FORMER)
    await publish(made.settings, made.settings.topics.source("product"), [product(id, 1) for id in PRODUCTS])
    await publish(made.settings, made.settings.topics.source("keyword"), [keyword(id, 1) for id in KEYWORDS])
    for store in ("link", "elasticsearch", "pgvector"):
        await eventually(lambda store=store: made.linked(FORMER, store), within=180)
    yield made
    for model in list(made.workers):
        made.end(model)


async def stream(installed: Installed) -> None:
    """Publishes new versions of the first products until it is cancelled. Their texts change."""
    async with producer(installed.settings.kafka, linger_ms=0) as client:
        for version in itertools.count(2):
            for id in PRODUCTS[:5]:
                value = json.dumps(product(id, version)).encode()
                await client.send_and_wait(installed.settings.topics.source("product"), value, id.encode())
                await asyncio.sleep(0.2)
            installed.version = version


async def search(installed: Installed) -> None:
    """Searches with the former model, pinned by its id, until it is cancelled: it always answers."""
    worker = load_worker("qdrant")
    assert worker.store is not None
    store: Any = worker.store(installed.servers.settings(worker.settings, *SERVERS, **installed.variables))
    try:
        while True:
            assert len(await store.searchable("product", PRODUCTS)) == len(PRODUCTS)
            await asyncio.sleep(0.05)
    finally:
        await store.close()


async def test_another_model_is_served_without_an_outage_and_the_former_one_is_removed(installed: Installed) -> None:
    assert "headrace migrate --model" in await installed.headrace(OTHER, "stores", "apply", fails=True)
    tasks = [asyncio.create_task(stream(installed)), asyncio.create_task(search(installed))]
    try:
        await installed.headrace(FORMER, "migrate", "--model", OTHER)
        await installed.headrace(FORMER, "migrate", "--model", OTHER)
        installed.start(OTHER)
        await eventually(lambda: installed.linked(OTHER, "pgvector"), within=240)
        await installed.break_links(OTHER, PRODUCTS[-1])
        refused = await installed.headrace(FORMER, "migrate", "--model", OTHER, "--switch", fails=True)
        assert f"pgvector product {PRODUCTS[-1]}: broken_links: " in refused
        assert "1 differences: nothing is switched" in refused
        assert "step: switch" not in refused
        await installed.headrace(OTHER, "relink", "--product", PRODUCTS[-1])
        said = await installed.headrace(FORMER, "migrate", "--model", OTHER, "--switch", "--timeout", "240")
        assert "step: switch" in said
        assert not any(task.done() for task in tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for store in ("link", "elasticsearch", "pgvector"):
        await eventually(lambda store=store: installed.linked(OTHER, store), within=120)
        await eventually(lambda store=store: installed.linked(FORMER, store), within=120)
    # Each store has the scores of each model's own link sets.
    for model in (FORMER, OTHER):
        origin = await installed.scores(model, "link")
        for store in ("elasticsearch", "pgvector"):
            await eventually(lambda model=model, store=store: _same(installed, model, store), within=60)
        assert origin.keys() == set(PRODUCTS)
    assert await installed.scores(FORMER, "link") != await installed.scores(OTHER, "link")

    assert "is served" in await installed.headrace(OTHER, "migrate", "--model", OTHER, "--abort", fails=True)
    await installed.leave(FORMER)
    assert "removed" in await installed.headrace(OTHER, "migrate", "--model", FORMER, "--abort")
    assert await installed.linked(OTHER, "pgvector")
    assert "headrace migrate" in await installed.headrace(FORMER, "stores", "apply", fails=True)


async def _same(installed: Installed, model: str, store: str) -> bool:
    return await installed.scores(model, store) == await installed.scores(model, "link")


async def test_a_migration_that_is_ended_leaves_the_served_model_and_can_begin_anew(installed: Installed) -> None:
    await installed.headrace(FORMER, "migrate", "--model", OTHER)
    installed.start(OTHER)
    await asyncio.sleep(5)
    await installed.leave(OTHER)
    assert "removed" in await installed.headrace(FORMER, "migrate", "--model", OTHER, "--abort")
    assert await installed.linked(FORMER, "elasticsearch")
    await installed.headrace(FORMER, "migrate", "--model", OTHER)
    installed.start(OTHER)
    await installed.headrace(FORMER, "migrate", "--model", OTHER, "--switch", "--timeout", "240")
    await eventually(lambda: installed.linked(OTHER, "elasticsearch"), within=120)
