"""A worker's listener: the path of a batch without receipts, and a health of its own on which readiness depends."""

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

from aiokafka import TopicPartition
from harness.fake_consumers import FakeConsumers, FakeGroup
from harness.kafka_record import kafka_record
from harness.memory import MemoryStage, memory_worker
from harness.records import product

from headrace_runtime import app
from headrace_schemas.changes import ProductChange
from headrace_schemas.links import Sweep
from headrace_worker.settings import WorkerSettings
from headrace_worker.stage import Applied, Outcome, Output
from headrace_worker.worker import Listener

REPORTS = "headrace.reports"
PARTITION = TopicPartition(REPORTS, 0)
REPAIR = Output("headrace.repairs", b"k", b"v")


class ReportStage(MemoryStage):
    """Publishes a request for each report, and a repair after records expired unread."""

    async def apply(self, changes: Sequence[Any]) -> list[Outcome]:
        await super().apply(changes)
        return [Applied((Output("headrace.asked", b"k", change.id.encode()),)) for change in changes]

    def after_expiry(self) -> Sequence[Output]:
        return [REPAIR]


@dataclass
class Running:
    """A worker with a listener. `inputs`, `reports`: its consumer groups."""

    application: Any
    stage: ReportStage
    inputs: FakeGroup
    reports: FakeGroup

    async def readiness(self) -> tuple[int, Mapping[str, Any]]:
        sent: list[Any] = []

        async def send(message: Any) -> None:
            sent.append(message)

        await self.application({"type": "http", "path": "/readyz", "method": "GET"}, _nothing, send)
        return sent[0]["status"], json.loads(sent[1]["body"])


async def _nothing() -> dict[str, Any]:
    return {"type": "http.request", "body": b"", "more_body": False}


@asynccontextmanager
async def running(consumers: FakeConsumers) -> AsyncIterator[Running]:
    stage = ReportStage()

    @asynccontextmanager
    async def opened(settings: WorkerSettings) -> AsyncIterator[Any]:
        yield stage

    listener = Listener("reports", lambda settings: {REPORTS: ProductChange}, opened, max_records=lambda settings: 3)
    application = app.build(replace(memory_worker(MemoryStage()), listener=listener), WorkerSettings())
    async with application.start_lifespan_context():
        inputs, reports = await consumers.group("headrace.memory"), await consumers.group("headrace.memory.reports")
        yield Running(application, stage, inputs, reports)


def report(id: str) -> Any:
    return kafka_record(product(id, 1), topic=REPORTS)


async def test_a_listener_has_a_group_of_its_own(consumers: FakeConsumers, published: Any) -> None:
    async with running(consumers) as worker:
        assert set(consumers.groups) == {"headrace.memory", "headrace.memory.reports"}
        assert list(worker.reports.topics) == [REPORTS]
        assert REPORTS not in worker.inputs.topics


async def test_a_listener_publishes_no_receipts(consumers: FakeConsumers, published: Any) -> None:
    async with running(consumers) as worker:
        assert await worker.reports.deliver(report("a"), report("b")) == "committed"
        assert published.topics() == ["headrace.asked", "headrace.asked"]
        assert await worker.inputs.deliver(kafka_record(product("a", 1))) == "committed"
        assert published.topics()[2:] == ["headrace.receipts"]


async def test_an_undecodable_report_is_a_dead_letter_of_the_worker(consumers: FakeConsumers, published: Any) -> None:
    async with running(consumers) as worker:
        undecodable = kafka_record(b"{nope", b"raw", topic=REPORTS)
        assert await worker.reports.deliver(undecodable, report("a")) == "committed"
    assert published.topics() == ["headrace.asked", "headrace.dead.memory"]


async def test_a_worker_is_ready_only_if_its_listener_is(consumers: FakeConsumers, published: Any) -> None:
    async with running(consumers) as worker:
        await worker.inputs.assign(PARTITION)
        status, body = await worker.readiness()
        assert (status, body["problems"]) == (503, [])
        assert [problem["kind"] for problem in body["listener"]["details"]] == ["assignment"]
        await worker.reports.assign(PARTITION)
        assert (await worker.readiness())[0] == 200


async def test_expired_records_are_repaired_before_anything_else_is_committed(
    consumers: FakeConsumers, published: Any
) -> None:
    async with running(consumers) as worker:
        await worker.reports.assign(PARTITION, committed=5, start=9)
        assert published.topics() == [REPAIR.topic]
        assert await worker.reports.deliver(report("a")) == "committed"
        assert published.topics() == [REPAIR.topic, "headrace.asked"]


async def test_a_repair_that_cannot_be_published_gives_the_next_batch_back(
    consumers: FakeConsumers, published: Any
) -> None:
    published.down = True
    async with running(consumers) as worker:
        await worker.reports.assign(PARTITION, committed=5, start=9)
        assert await worker.reports.deliver(report("a")) == "given back"
        assert worker.stage.batches == []
        [problem] = (await worker.readiness())[1]["listener"]["problems"]
        assert problem.startswith("unavailable: kafka since ")
        published.down = False
        assert await worker.reports.deliver(report("a")) == "committed"
        assert published.topics() == [REPAIR.topic, "headrace.asked"]


async def test_a_repair_that_is_due_keeps_an_idle_listener_from_committing(
    consumers: FakeConsumers, published: Any
) -> None:
    published.down = True
    async with running(consumers) as worker:
        await worker.reports.assign(PARTITION, committed=5, start=9)
        worker.reports.poll_nothing(PARTITION, 12)
        assert await worker.reports.deliver(report("a")) == "given back"
        published.down = False
        assert await worker.reports.deliver(report("a")) == "committed"
        worker.reports.poll_nothing(PARTITION, 13)
        assert await worker.reports.ended.get() == "committed"


async def test_link_sets_that_expired_are_asked_for_once_before_anything_else_is_committed(
    consumers: FakeConsumers, published: Any
) -> None:
    """Whatever the worker's stage is: every sink of link sets needs them."""
    sets = [TopicPartition("headrace.product-links", partition) for partition in range(2)]
    published.down = True
    async with running(consumers) as worker:
        await worker.inputs.assign(*sets, committed=5, start=9)
        assert await worker.inputs.deliver(kafka_record(product("a", 1))) == "given back"
        published.down = False
        assert await worker.inputs.deliver(kafka_record(product("a", 1))) == "committed"
        assert published.topics() == ["headrace.relink.minilm-l6-v2", "headrace.receipts"]
        sweep = Sweep.model_validate_json(published.records[0].value)
        assert sweep == Sweep(republish=True, expired={0: 9, 1: 9})


async def test_a_stage_that_repairs_nothing_continues_after_records_expired(
    consumers: FakeConsumers, published: Any
) -> None:
    async with running(consumers) as worker:
        await worker.inputs.assign(TopicPartition("headrace.products", 0), committed=5, start=9)
        assert await worker.inputs.deliver(kafka_record(product("a", 1))) == "committed"
        assert published.topics() == ["headrace.receipts"]
