"""The whole application of a worker: heartbeats, outputs with their trace, and settings that are wrong."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
import structlog
from aiokafka import TopicPartition
from harness.fake_consumers import FakeConsumers, FakeGroup
from harness.kafka_record import TIMESTAMP_MS, kafka_record
from harness.live_workers import most
from harness.memory import MemoryStage, memory_worker
from harness.records import product

from headrace_runtime import app, main
from headrace_runtime.health import Health
from headrace_schemas.canary import CANARY_ID
from headrace_schemas.headers import PUBLISHED_AT
from headrace_schemas.receipts import Receipts
from headrace_worker.settings import WorkerSettings
from headrace_worker.stage import Applied, Outcome, Output

TRACE = [
    ("traceparent", b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
    ("tracestate", b"vendor=\xff"),
]
PUBLISHED = (PUBLISHED_AT, str(TIMESTAMP_MS).encode())


@asynccontextmanager
async def running(consumers: FakeConsumers, stage: Any, settings: WorkerSettings) -> AsyncIterator[FakeGroup]:
    """The consumer group of a worker that runs."""
    application = app.build(memory_worker(stage), settings)
    async with application.start_lifespan_context():
        yield await consumers.group("headrace.memory")


class Emits(MemoryStage):
    async def apply(self, changes: Sequence[Any]) -> list[Outcome]:
        return [Applied((Output("out", b"k", b"v", (("own", b"1"),)),)) for _ in changes]


async def test_the_trace_and_the_publication_of_the_source_event_are_in_every_output(
    consumers: FakeConsumers, published: Any
) -> None:
    record = kafka_record(product("p1", 1), headers=[("x", b"not a trace"), *TRACE])
    async with running(consumers, Emits(), WorkerSettings()) as group:
        assert await group.deliver(record) == "committed"
    assert list(published.records[0].headers) == [("own", b"1"), *TRACE, PUBLISHED]


async def test_the_trace_and_the_publication_of_the_source_event_are_in_the_dead_letter(
    consumers: FakeConsumers, published: Any
) -> None:
    async with running(consumers, MemoryStage(), WorkerSettings()) as group:
        assert await group.deliver(kafka_record(b"{", headers=TRACE)) == "committed"
    assert list(published.records[0].headers)[:2] == TRACE
    assert PUBLISHED in published.records[0].headers


async def test_every_attempt_on_a_store_that_is_down_is_a_heartbeat(
    consumers: FakeConsumers, published: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    beats: list[int] = []
    stage = MemoryStage()
    stage.down = True
    monkeypatch.setattr(Health, "beat", lambda health: beats.append(len(stage.batches)))
    settings = WorkerSettings()
    settings.batch.give_back_after = 0.1
    settings.batch.backoff_max = 0.01
    async with running(consumers, stage, settings) as group:
        assert await group.deliver(kafka_record(product("p1", 1))) == "given back"
    assert len(stage.batches) > 1
    # The poll that has read the batch beats before the first try.
    assert set(beats) == set(range(len(stage.batches) + 1))


async def test_a_receipt_carries_on_a_sampled_trace_although_the_worker_makes_no_spans(
    consumers: FakeConsumers, published: Any
) -> None:
    unsampled = (TRACE[0][0], TRACE[0][1][:-1] + b"0")
    headers = [TRACE, [unsampled], [], [("traceparent", b"not-a-trace")], [TRACE[0], unsampled]]
    records = [kafka_record(product(f"p{n}", 1), offset=n, headers=own) for n, own in enumerate(headers)]
    async with running(consumers, MemoryStage(), WorkerSettings()) as group:
        assert await group.deliver(*records) == "committed"
    (receipts,) = (Receipts.model_validate_json(one.value).receipts for one in published.records)
    carried = {receipt.offset: receipt.traceparent for receipt in receipts}
    assert carried == {0: TRACE[0][1].decode(), 1: None, 2: None, 3: None, 4: None}


async def test_each_assignment_of_partitions_is_counted(consumers: FakeConsumers, published: Any) -> None:
    application = app.build(memory_worker(MemoryStage()), WorkerSettings())
    async with application.start_lifespan_context():
        group = await consumers.group("headrace.memory")
        counted = [await most(application, "headrace_rebalances_total")]
        for partition in range(2):
            await group.assign(TopicPartition("headrace.products", partition))
            counted.append(await most(application, "headrace_rebalances_total"))
    assert counted == [0, 1, 2]


def test_a_wrong_setting_stops_the_worker_with_its_name_and_without_its_value(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(main, "load_worker", lambda name: memory_worker(MemoryStage()))
    monkeypatch.setenv("HEADRACE_KAFKA__PARTITIONS", "s3cr3t-value")
    assert main.run("memory") == 2
    printed = capsys.readouterr()
    assert "HEADRACE_KAFKA__PARTITIONS" in printed.err
    assert "s3cr3t-value" not in printed.err + printed.out


async def test_a_worker_writes_one_line_when_it_is_ready(consumers: FakeConsumers, published: Any) -> None:
    with structlog.testing.capture_logs() as lines:
        async with running(consumers, MemoryStage(), WorkerSettings()) as group:
            await asyncio.sleep(0.3)
            assert "worker_ready" not in [line["event"] for line in lines]
            await group.assign(TopicPartition("headrace.products", 0))
            await asyncio.sleep(0.3)
            await group.assign(TopicPartition("headrace.products", 1))
            await asyncio.sleep(0.3)
    assert [line["partitions"] for line in lines if line["event"] == "worker_ready"] == [1]


@pytest.mark.parametrize(("takes", "stored"), [(False, {"p1"}), (True, {"p1", CANARY_ID})])
async def test_only_a_worker_that_takes_the_canary_gets_it(
    consumers: FakeConsumers, published: Any, takes: bool, stored: set[str]
) -> None:
    stage = MemoryStage()
    application = app.build(replace(memory_worker(stage), takes_canary=takes), WorkerSettings())
    async with application.start_lifespan_context():
        group = await consumers.group("headrace.memory")
        assert await group.deliver(kafka_record(product(CANARY_ID, 1)), kafka_record(product("p1", 1), offset=1)) == (
            "committed"
        )
    assert {id for _, id in stage.stored} == stored
