"""The embedding model changes under a live stream: searches answer with one model at a time and never mix."""

import asyncio
import itertools
import json
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest
from harness.records import eventually, keyword, product, publish
from harness.servers import Servers
from harness.two_models import FORMER, OTHER, TwoModels

from headrace_clients.kafka import producer

pytestmark = [pytest.mark.servers, pytest.mark.long]

PRODUCTS = [f"p{number}" for number in range(30)]
KEYWORDS = [f"k{number}" for number in range(8)]


async def linked(installed: TwoModels, model: str, store: str) -> bool:
    """Whether each product has its links in the store, as this model's readers find them."""
    found = await installed.of(model).scores(store, PRODUCTS)
    return len(found) == len(PRODUCTS) and all(len(scores) == len(KEYWORDS) for scores in found.values())


async def equal(installed: TwoModels, model: str, store: str) -> bool:
    """Whether the store has the link sets of the worker `link`."""
    of_model = installed.of(model)
    return await of_model.scores(store, PRODUCTS) == await of_model.scores("link", PRODUCTS)


async def break_links(installed: TwoModels, model: str, product_id: str) -> None:
    """Changes the score of the product's best keyword in PostgreSQL."""
    connection = await asyncpg.connect(installed.environment(model)["HEADRACE_POSTGRES__DSN"])
    try:
        table = f'{installed.settings.names.schema}."product_keywords__{model}"'
        changed = await connection.execute(
            f"UPDATE {table} SET score = 0.01 WHERE product_id = $1 AND rank = 1",
            product_id,
        )
    finally:
        await connection.close()
    assert changed == "UPDATE 1"


@pytest.fixture
async def installed(servers: Servers, tmp_path: Path) -> AsyncIterator[TwoModels]:
    made = TwoModels(servers, tmp_path)
    await made.headrace(FORMER, "topics", "apply")
    await made.headrace(FORMER, "stores", "apply")
    made.start(FORMER)
    await publish(made.settings, made.settings.topics.source("product"), [product(id, 1) for id in PRODUCTS])
    await publish(made.settings, made.settings.topics.source("keyword"), [keyword(id, 1) for id in KEYWORDS])
    for store in ("link", "elasticsearch", "pgvector"):
        await eventually(lambda store=store: linked(made, FORMER, store), within=180)
    yield made
    made.end()


async def stream(installed: TwoModels) -> None:
    """Publishes new versions of the first products until it is cancelled. Their texts change."""
    async with producer(installed.settings.kafka, linger_ms=0) as client:
        for version in itertools.count(2):
            for id in PRODUCTS[:5]:
                value = json.dumps(product(id, version)).encode()
                await client.send_and_wait(installed.settings.topics.source("product"), value, id.encode())
                await asyncio.sleep(0.2)


async def search(installed: TwoModels) -> None:
    """Searches with the former model, pinned by its id, until it is cancelled: it always answers."""
    async with installed.of(FORMER).store("qdrant") as store:
        while True:
            assert len(await store.searchable("product", PRODUCTS)) == len(PRODUCTS)
            await asyncio.sleep(0.05)


async def test_another_model_is_served_without_an_outage_and_the_former_one_is_removed(installed: TwoModels) -> None:
    assert "headrace migrate --model" in await installed.headrace(OTHER, "stores", "apply", fails=True)
    tasks = [asyncio.create_task(stream(installed)), asyncio.create_task(search(installed))]
    try:
        await installed.headrace(FORMER, "migrate", "--model", OTHER)
        await installed.headrace(FORMER, "migrate", "--model", OTHER)
        installed.start(OTHER)
        await eventually(lambda: linked(installed, OTHER, "pgvector"), within=240)
        await break_links(installed, OTHER, PRODUCTS[-1])
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
        await eventually(lambda store=store: linked(installed, OTHER, store), within=120)
        await eventually(lambda store=store: linked(installed, FORMER, store), within=120)
    # Each store has the scores of each model's own link sets.
    for model in (FORMER, OTHER):
        for store in ("elasticsearch", "pgvector"):
            await eventually(lambda model=model, store=store: equal(installed, model, store), within=60)
    scores = [await installed.of(model).scores("link", PRODUCTS) for model in (FORMER, OTHER)]
    assert scores[0].keys() == scores[1].keys() == set(PRODUCTS)
    assert scores[0] != scores[1]

    assert "is served" in await installed.headrace(OTHER, "migrate", "--model", OTHER, "--abort", fails=True)
    await installed.leave(FORMER)
    assert "removed" in await installed.headrace(OTHER, "migrate", "--model", FORMER, "--abort")
    assert await linked(installed, OTHER, "pgvector")
    assert "headrace migrate" in await installed.headrace(FORMER, "stores", "apply", fails=True)


async def test_a_migration_that_is_ended_leaves_the_served_model_and_can_begin_anew(installed: TwoModels) -> None:
    await installed.headrace(FORMER, "migrate", "--model", OTHER)
    installed.start(OTHER)
    await asyncio.sleep(5)
    await installed.leave(OTHER)
    assert "removed" in await installed.headrace(FORMER, "migrate", "--model", OTHER, "--abort")
    assert await linked(installed, FORMER, "elasticsearch")
    await installed.headrace(FORMER, "migrate", "--model", OTHER)
    installed.start(OTHER)
    await installed.headrace(FORMER, "migrate", "--model", OTHER, "--switch", "--timeout", "240")
    await eventually(lambda: linked(installed, OTHER, "elasticsearch"), within=120)
