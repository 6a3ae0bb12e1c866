"""A worker's listener: the path of a batch without receipts, and a health of its own that counts."""

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
from faststream.exceptions import NackMessage
from harness.kafka_record import kafka_record
from harness.memory import MemoryStage, memory_worker
from harness.records import product

from headrace_runtime import app
from headrace_runtime.publisher import Outgoing, Publisher
from headrace_schemas.changes import ProductChange
from headrace_worker.settings import WorkerSettings
from headrace_worker.stage import Applied, Outcome, Output, Unavailable
from headrace_worker.worker import Listener

HEARD = "headrace.reports"
REPAIR = Output("headrace.repairs", b"k", b"v")


class Hears(MemoryStage):
    """Asks for something for each report, and for a repair after a hole."""

    async def apply(self, changes: Sequence[Any]) -> list[Outcome]:
        await super().apply(changes)
        return [Applied((Output("headrace.asked", b"k", change.id.encode()),)) for change in changes]

    def after_a_hole(self) -> Sequence[Output]:
        return [REPAIR]


class Broker:
    """What is published, in order; `down` while it acknowledges nothing."""

    def __init__(self) -> None:
        self.records: list[Outgoing] = []
        self.down = False

    def topics(self) -> list[str]:
        return [record.topic for record in self.records]


@pytest.fixture
def broker(monkeypatch: pytest.MonkeyPatch) -> Broker:
    kept = Broker()

    async def keep(publisher: Publisher, records: Sequence[Outgoing]) -> None:
        if kept.down and records:
            raise Unavailable("kafka", "is down")
        kept.records.extend(records)

    monkeypatch.setattr(Publisher, "publish", keep)
    return kept


class Running:
    """A worker with a listener. `handle`, `hear`: what FastStream gives their batches to."""

    def __init__(self, application: Any, stage: Hears) -> None:
        self.application = application
        self.stage = stage
        by_group = {subscriber.group_id: subscriber for subscriber in application.broker.subscribers}
        self.groups = set(by_group)
        self.handle, self.hear = (
            by_group[group].calls[0].handler._original_call for group in ("headrace.memory", "headrace.memory.reports")
        )
        self._listeners = {group: subscriber._listener for group, subscriber in by_group.items()}

    async def assigned(self, group: str, committed: int, start: int) -> None:
        """A rebalance gives the group a partition that starts at `start`."""
        listener = self._listeners[group]
        listener.consumer = _Consumer(committed, start)
        await listener.on_partitions_assigned(frozenset({_PARTITION}))

    async def readiness(self) -> tuple[int, Mapping[str, Any]]:
        sent: list[Any] = []

        async def send(message: Any) -> None:
            sent.append(message)

        await self.application({"type": "http", "path": "/readyz", "method": "GET"}, _nothing, send)
        return sent[0]["status"], json.loads(sent[1]["body"])


class _Partition:
    topic, partition = HEARD, 0


_PARTITION = _Partition()


class _Consumer:
    """A consumer's answers about one partition."""

    def __init__(self, committed: int, start: int) -> None:
        self._committed, self._start = committed, start

    async def beginning_offsets(self, partitions: Any) -> Any:
        return dict.fromkeys(partitions, self._start)

    async def committed(self, partition: Any) -> int:
        return self._committed


async def _nothing() -> dict[str, Any]:
    return {"type": "http.request", "body": b"", "more_body": False}


@asynccontextmanager
async def running(stage: Any) -> AsyncIterator[Running]:
    hears = Hears()

    @asynccontextmanager
    async def opened(settings: WorkerSettings) -> AsyncIterator[Any]:
        yield hears

    listener = Listener("reports", lambda settings: {HEARD: ProductChange}, opened, max_records=lambda settings: 3)
    application = app.build(replace(memory_worker(stage), listener=listener), WorkerSettings())
    async with application.lifespan_context():
        yield Running(application, hears)


def report(id: str) -> Any:
    return kafka_record(product(id, 1), topic=HEARD)


async def test_a_listener_has_a_group_of_its_own(broker: Broker) -> None:
    async with running(MemoryStage()) as worker:
        assert worker.groups == {"headrace.memory", "headrace.memory.reports"}


async def test_no_receipts_are_written_about_what_is_heard(broker: Broker) -> None:
    async with running(MemoryStage()) as worker:
        await worker.hear([report("a"), report("b")])
        assert broker.topics() == ["headrace.asked", "headrace.asked"]
        await worker.handle([kafka_record(product("a", 1))])
        assert broker.topics()[2:] == ["headrace.receipts"]


async def test_what_cannot_be_heard_is_a_dead_letter_of_the_worker(broker: Broker) -> None:
    async with running(MemoryStage()) as worker:
        await worker.hear([kafka_record(b"{nope", b"raw", topic=HEARD), report("a")])
    assert broker.topics() == ["headrace.asked", "headrace.dead.memory"]


async def test_a_worker_is_ready_only_if_its_listener_is(broker: Broker) -> None:
    async with running(MemoryStage()) as worker:
        await worker.assigned("headrace.memory", 0, 0)
        status, body = await worker.readiness()
        assert (status, body["problems"], body["listener"]["problems"]) == (503, [], ["no partition is assigned"])
        await worker.assigned("headrace.memory.reports", 0, 0)
        assert (await worker.readiness())[0] == 200


async def test_a_hole_is_repaired_before_anything_else_is_committed(broker: Broker) -> None:
    async with running(MemoryStage()) as worker:
        await worker.assigned("headrace.memory.reports", committed=5, start=9)
        assert broker.topics() == [REPAIR.topic]
        await worker.hear([report("a")])
        assert broker.topics() == [REPAIR.topic, "headrace.asked"]


async def test_a_repair_that_cannot_be_published_holds_the_next_batch(broker: Broker) -> None:
    broker.down = True
    async with running(MemoryStage()) as worker:
        await worker.assigned("headrace.memory.reports", committed=5, start=9)
        with pytest.raises(NackMessage):
            await worker.hear([report("a")])
        assert worker.stage.batches == []
        broker.down = False
        await worker.hear([report("a")])
        assert broker.topics() == [REPAIR.topic, "headrace.asked"]


async def test_a_stage_that_repairs_nothing_goes_on_after_a_hole(broker: Broker) -> None:
    async with running(MemoryStage()) as worker:
        await worker.assigned("headrace.memory", committed=5, start=9)
        await worker.handle([kafka_record(product("a", 1))])
        assert broker.topics() == ["headrace.receipts"]
