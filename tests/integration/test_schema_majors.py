"""After a deploy that raises the schema major, older records and older dead letters can still be read."""

from dataclasses import replace
from typing import Any, ClassVar

import pytest
from harness.live_workers import has_problem, running
from harness.memory import MemoryStage, memory_worker
from harness.records import eventually, product, publish, read_all, receipts

from headrace_runtime.publisher import Outgoing, Publisher
from headrace_schemas import headers
from headrace_schemas.changes import ProductChange
from headrace_schemas.upcasts import UPCASTS
from headrace_worker.settings import WorkerSettings
from headrace_worker.worker import Worker

pytestmark = pytest.mark.servers

FIRST = [(headers.SCHEMA, b"product-change/1")]
SECOND = [(headers.SCHEMA, b"product-change/2")]


class ListedPrices(ProductChange):
    """Major 2: prices by currency, which are required."""

    schema_major: ClassVar[int] = 2
    prices: dict[str, float]


def listed(record: dict[str, Any]) -> dict[str, Any]:
    return record | {"prices": {record.get("currency") or "EUR": record["price"]}}


def deployed(stage: MemoryStage) -> Worker:
    """The worker of the deploy that raises the major."""
    return replace(memory_worker(stage), inputs=lambda settings: {settings.topics.source("product"): ListedPrices})


async def test_records_and_dead_letters_of_the_older_major_are_read_after_the_deploy(
    settings: WorkerSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = settings.topics.source("product")
    before = MemoryStage()
    before.reject = {"stranded"}
    await publish(settings, source, [product("stranded", 4, price=2.0), product("kept", 1, price=1.0)], headers=FIRST)
    async with running(memory_worker(before), settings):
        await eventually(lambda: _answered(settings, 2))

    monkeypatch.setitem(UPCASTS, ("product-change", 1), listed)
    after = MemoryStage()
    await publish(settings, source, [product("queued", 1, price=3.0, currency="KRW")], headers=FIRST)
    await publish(settings, source, [product("new", 1, prices={"USD": 4.0})], headers=SECOND)
    await _replay_all(settings)
    async with running(deployed(after), settings):
        await eventually(lambda: _answered(settings, 5))
    prices = {id: change.prices for (_, id), change in after.stored.items()}
    assert prices == {"stranded": {"EUR": 2.0}, "queued": {"KRW": 3.0}, "new": {"USD": 4.0}}
    assert after.versions()["stranded"] == 4


async def test_a_catalogue_that_is_deployed_first_holds_the_worker_and_loses_nothing(settings: WorkerSettings) -> None:
    source = settings.topics.source("product")
    await publish(settings, source, [product("new", 1, prices={"USD": 4.0})], headers=SECOND)
    before, after = MemoryStage(), MemoryStage()
    async with running(memory_worker(before), settings) as application:
        await publish(settings, source, [product("behind", 1, prices={"USD": 4.0})], headers=SECOND)
        await eventually(lambda: has_problem(application, "held: "))
    async with running(deployed(after), settings):
        await eventually(lambda: _answered(settings, 2))
    assert before.stored == {}
    assert set(after.versions()) == {"new", "behind"}
    assert await read_all(settings, settings.topics.dead("memory")) == []


async def _answered(settings: WorkerSettings, records: int) -> bool:
    return len(await receipts(settings, "memory")) == records


async def _replay_all(settings: WorkerSettings) -> None:
    publisher = Publisher(settings.kafka)
    topic = settings.topics.replay("memory")
    letters = await read_all(settings, settings.topics.dead("memory"))
    await publisher.publish([Outgoing(topic, one.key, one.value, one.headers) for one in letters])
    await publisher.close()
