"""The traces of a worker: each sampled change has a span in its own trace, with its steps, and none is lost."""

import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
import structlog
from harness.fake_consumers import FakeConsumers, FakeGroup
from harness.kafka_record import TOPIC, kafka_record
from harness.live_workers import most
from harness.memory import MemoryStage, memory_worker
from harness.otlp_receiver import OtlpReceiver, Received, otlp_receiver
from harness.records import product

from headrace_runtime import app, span_queue
from headrace_runtime.trace_context import TraceContext, carried, trace_id_of
from headrace_schemas.receipts import Receipts
from headrace_worker.settings import WorkerSettings
from headrace_worker.stage import Outcome, Unavailable

PARENT = 0xB7AD6B7169203331
RATIO = {"OTEL_TRACES_SAMPLER": "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0.01"}


@pytest.fixture
def receiver() -> Iterator[OtlpReceiver]:
    with otlp_receiver() as running:
        yield running


@asynccontextmanager
async def running(consumers: FakeConsumers, stage: Any, endpoint: str, **telemetry: Any) -> AsyncIterator[FakeGroup]:
    """The consumer group of a worker with traces. When the block ends, all spans are sent."""
    async with started(stage, endpoint, **telemetry):
        yield await consumers.group("headrace.memory")


@asynccontextmanager
async def started(stage: Any, endpoint: str, **telemetry: Any) -> AsyncIterator[Any]:
    """The application of a worker with traces."""
    settings = WorkerSettings.model_validate({"telemetry": {"otlp_endpoint": endpoint} | telemetry})
    settings.batch.give_back_after, settings.batch.backoff_max = 0.5, 0.01
    application = app.build(memory_worker(stage), settings)
    async with application.start_lifespan_context():
        yield application


def record(offset: int, trace: int | None, *, sampled: bool = True, value: Any = None, **options: Any) -> Any:
    """A record of a moment ago. `trace`: the id of its trace; None for a record without one."""
    context = TraceContext(trace, PARENT, int(sampled)) if trace else None
    headers = [("traceparent", context.traceparent)] if context else []
    value = product(f"p{offset}", 1) if value is None else value
    options = {"timestamp": int(time.time() * 1000) - 50} | options
    return kafka_record(value, offset=offset, headers=headers, **options)


def by_trace(spans: Sequence[Received]) -> dict[int, list[Received]]:
    """The spans of each change, without those of batches."""
    found: dict[int, list[Received]] = defaultdict(list)
    for span in spans:
        if not span.name.startswith("batch "):
            found[int(span.trace, 16)].append(span)
    return found


def names(spans: Sequence[Received]) -> list[str]:
    return sorted(span.name for span in spans)


def named(spans: Sequence[Received], name: str) -> Received:
    (span,) = (one for one in spans if one.name == name)
    return span


async def test_no_sampled_change_of_a_large_batch_is_lost(
    consumers: FakeConsumers, published: Any, receiver: OtlpReceiver
) -> None:
    stage = MemoryStage()
    stage.outputs = "out"
    records = [record(n, n + 1, sampled=n % 2 == 0) for n in range(4000)]
    async with running(consumers, stage, receiver.url) as group:
        assert await group.deliver(*records) == "committed"
    spans = by_trace(receiver.spans)
    assert sorted(spans) == [n + 1 for n in range(0, 4000, 2)]
    batch = named(receiver.spans, "batch memory")
    assert len(batch.links) == 2000
    for trace, of_change in spans.items():
        assert names(of_change) == ["decode", "process headrace.products", "publish", "queued", "write"]
        process = named(of_change, f"process {TOPIC}")
        assert int(process.parent, 16) == PARENT
        assert {span.parent for span in of_change if span is not process} == {process.id}
        assert process.links == ((batch.trace, batch.id),)
        assert (process.trace, process.id) in batch.links
        assert process.attributes["messaging.kafka.offset"] == trace - 1
    carried_on = {record.key: carried(record.headers) for record in published.records if record.topic == "out"}
    for n in range(4000):
        parent = carried_on[f"p{n}".encode()]
        assert parent is not None
        own = int(named(spans[n + 1], f"process {TOPIC}").id, 16) if n % 2 == 0 else PARENT
        assert parent == TraceContext(n + 1, own, int(n % 2 == 0))
    (receipts,) = (Receipts.model_validate_json(one.value) for one in published.records if one.topic != "out")
    assert {one.offset: one.traceparent for one in receipts.receipts} == {
        n: f"00-{n + 1:032x}-{named(spans[n + 1], f'process {TOPIC}').id}-01" if n % 2 == 0 else None
        for n in range(4000)
    }


async def test_the_spans_of_a_change_tell_its_steps(
    consumers: FakeConsumers, published: Any, receiver: OtlpReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "x-token=abc")
    one = record(7, 0xABC, partition=3)
    async with running(consumers, MemoryStage(), receiver.url) as group:
        assert await group.deliver(one, record(8, 0xDEF, value=product("p7", 2))) == "committed"
    first, second = (by_trace(receiver.spans)[trace] for trace in (0xABC, 0xDEF))
    # The older change of the entity is superseded within the batch: no attempt of the stage has it.
    assert names(first) == ["decode", "process headrace.products", "queued"]
    assert named(first, f"process {TOPIC}").attributes == {
        "messaging.system": "kafka",
        "messaging.operation.type": "process",
        "messaging.operation.name": "process",
        "messaging.destination.name": TOPIC,
        "messaging.destination.partition.id": "3",
        "messaging.kafka.offset": 7,
        "messaging.kafka.message.key": "p7",
        "messaging.consumer.group.name": "headrace.memory",
        "messaging.batch.message_count": 2,
        "headrace.kind": "product",
        "headrace.version": 1,
        "headrace.outcome": "superseded",
    }
    process = named(second, f"process {TOPIC}")
    queued, decode, write = (named(second, name) for name in ("queued", "decode", "write"))
    assert process.attributes["headrace.outcome"] == "applied"
    assert write.attributes["headrace.attempt"] == 1
    assert queued.started < queued.ended == process.started == decode.started <= decode.ended <= write.started
    assert write.ended <= process.ended
    assert (process.kind, process.error) == ("consumer", None)
    assert process.service == "headrace-memory"
    assert process.resource["deployment.environment.name"] == "test"
    assert ("x-token", "abc") in [(name.lower(), value) for name, value in process.headers]


async def test_a_change_without_a_trace_gets_one_that_every_worker_computes_alike(
    consumers: FakeConsumers, published: Any, receiver: OtlpReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable, value in RATIO.items():
        monkeypatch.setenv(variable, value)
    stage = MemoryStage()
    stage.outputs = "out"
    records = [record(n, None) for n in range(2000)]
    sampled = {one.offset: trace_id_of(one) for one in records if trace_id_of(one) % 2**64 < 2**64 // 100}
    async with running(consumers, stage, receiver.url) as group:
        assert await group.deliver(*records) == "committed"
    spans = by_trace(receiver.spans)
    assert 5 < len(sampled) < 60
    assert {
        named(of, f"process {TOPIC}").attributes["messaging.kafka.offset"]: trace for trace, of in spans.items()
    } == sampled
    assert {named(of, f"process {TOPIC}").parent for of in spans.values()} == {""}
    # The others are in a trace, too, so that no later worker decides again.
    carried_on = {record.key: carried(record.headers) for record in published.records if record.topic == "out"}
    for one in records:
        context = carried_on[one.key]
        assert context is not None
        assert (context.trace_id, context.sampled) == (trace_id_of(one), one.offset in sampled)


async def test_failures_are_exported_although_their_trace_is_not_sampled(
    consumers: FakeConsumers, published: Any, receiver: OtlpReceiver
) -> None:
    stage = MemoryStage()
    stage.reject = {"p1"}
    records = [
        record(0, 0xA, sampled=False),
        record(1, 0xB, sampled=False),
        record(2, 0xC, sampled=False, value=b"{"),
        record(3, 0xD, value=b"{"),
        record(4, 0xE, sampled=False, value=product("same", 1, title="a")),
        record(5, 0xF, sampled=False, value=product("same", 1, title="b")),
    ]
    with structlog.testing.capture_logs() as lines:
        async with running(consumers, stage, receiver.url) as group:
            assert await group.deliver(*records) == "committed"
    spans = by_trace(receiver.spans)
    assert {trace: named(of, f"process {TOPIC}").attributes["headrace.outcome"] for trace, of in spans.items()} == {
        0xB: "dead",
        0xC: "dead",
        0xD: "dead",
        0xF: "conflict",
    }
    process, write = (named(spans[0xB], name) for name in (f"process {TOPIC}", "write"))
    assert process.error == write.error == "refused_by_store/memory/refused"
    assert process.attributes["headrace.reason"] == "refused_by_store"
    assert len(process.attributes["headrace.fingerprint"]) == 16
    assert names(spans[0xC]) == ["decode", "process headrace.products", "publish", "queued"]
    assert named(spans[0xC], "decode").error is not None
    assert named(spans[0xC], "publish").attributes["messaging.destination.name"] == "headrace.dead.memory"
    # The dead letter of a sampled change continues from this worker; that of another one has the header that came.
    letters = [one for one in published.records if one.topic == "headrace.dead.memory"]
    assert {carried(letter.headers) for letter in letters} == {
        TraceContext(0xB, PARENT, 0),
        TraceContext(0xC, PARENT, 0),
        TraceContext(0xD, int(named(spans[0xD], f"process {TOPIC}").id, 16), 1),
    }
    about = {
        line["trace_id"]: line["span_id"] for line in lines if line["event"] in ("dead_letter", "version_conflict")
    }
    assert about == {span.trace: span.id for of in spans.values() for span in of if span.name == f"process {TOPIC}"}


class DownTwice(MemoryStage):
    """Answers for the change p0 at once, and for the others at the third attempt."""

    def apply_one(self, change: Any) -> Outcome:
        if change.id != "p0" and len(self.batches) < 3:
            return Unavailable("memory", "is down")
        return super().apply_one(change)


async def test_each_attempt_is_a_span_and_a_batch_that_was_tried_again_is_exported(
    consumers: FakeConsumers, published: Any, receiver: OtlpReceiver
) -> None:
    records = [record(n, n + 1, sampled=n == 1) for n in range(300)]
    async with started(DownTwice(), receiver.url) as application:
        group = await consumers.group("headrace.memory")
        assert await group.deliver(*records) == "committed"
        left_out = await most(application, "headrace_traces_left_out_total")
    spans = by_trace(receiver.spans)
    attempts = sorted((one for one in spans[2] if one.name == "write"), key=lambda span: span.started)
    assert [(one.attributes["headrace.attempt"], one.error) for one in attempts] == [
        (1, "memory: is down"),
        (2, "memory: is down"),
        (3, None),
    ]
    # Those that are not sampled are limited. The span of the batch and the metrics say how many are left out.
    assert len(spans) == 101
    assert left_out == 199
    assert named(receiver.spans, "batch memory").attributes["headrace.left_out"] == 199
    (write,) = (one for one in spans[1] if one.name == "write")
    assert (write.attributes["headrace.attempt"], write.error) == (1, None)


async def test_a_batch_that_is_given_back_and_its_redelivery_are_in_the_same_trace(
    consumers: FakeConsumers, published: Any, receiver: OtlpReceiver
) -> None:
    stage = MemoryStage()
    stage.down = True
    async with running(consumers, stage, receiver.url) as group:
        assert await group.deliver(record(0, 0xA)) == "given back"
        stage.down = False
        assert await group.deliver(record(0, 0xA)) == "committed"
    processes = [span for span in by_trace(receiver.spans)[0xA] if span.name == f"process {TOPIC}"]
    processes.sort(key=lambda span: span.started)
    assert [span.attributes["headrace.outcome"] for span in processes] == ["given_back", "applied"]
    assert [span.error for span in processes] == ["memory: is down", None]
    assert processes[0].id != processes[1].id


async def test_slow_changes_are_exported_although_their_trace_is_not_sampled(
    consumers: FakeConsumers, published: Any, receiver: OtlpReceiver
) -> None:
    now = int(time.time() * 1000)
    late = record(0, 0xA, sampled=False, timestamp=now - 31_000)
    made_from_a_late_one = record(1, 0xB, sampled=False)
    made_from_a_late_one.headers = (*made_from_a_late_one.headers, ("headrace-published-at", b"%d" % (now - 40_000)))
    async with running(consumers, MemoryStage(), receiver.url) as group:
        assert await group.deliver(late, made_from_a_late_one, record(2, 0xC, sampled=False)) == "committed"
        assert await group.deliver(record(3, 0xD, sampled=False)) == "committed"
    assert sorted(by_trace(receiver.spans)) == [0xA, 0xB]


async def test_spans_travel_over_grpc(consumers: FakeConsumers, published: Any, receiver: OtlpReceiver) -> None:
    async with running(consumers, MemoryStage(), receiver.grpc_url, otlp_protocol="grpc") as group:
        assert await group.deliver(record(0, 0xA)) == "committed"
    assert names(by_trace(receiver.spans)[0xA]) == ["decode", "process headrace.products", "queued", "write"]
    assert set(receiver.requests) == {"grpc"}


async def test_a_batch_waits_for_a_collector_that_is_slow(
    consumers: FakeConsumers, published: Any, receiver: OtlpReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(span_queue, "MOST_WAITING", 100)
    monkeypatch.setattr(span_queue, "PART", 50)
    receiver.delay = 0.01
    async with running(consumers, MemoryStage(), receiver.url) as group:
        for batch in range(2):
            assert await group.deliver(*[record(n, 1000 * batch + n + 1) for n in range(200)]) == "committed"
    assert Counter(len(spans) for spans in by_trace(receiver.spans).values()) == {4: 400}


@pytest.mark.parametrize("collector", ["is down", "refuses"])
async def test_a_collector_that_takes_nothing_costs_no_record_and_is_counted(
    collector: str, consumers: FakeConsumers, published: Any, receiver: OtlpReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "1")
    monkeypatch.setattr(span_queue, "MOST_WAITING", 1000)
    monkeypatch.setattr(span_queue, "ROOM_WITHIN", 0.2)
    monkeypatch.setattr(span_queue, "CLOSE_WITHIN", 0.2)
    receiver.status = 400
    endpoint = receiver.url if collector == "refuses" else "http://127.0.0.1:9"
    stage = MemoryStage()
    with structlog.testing.capture_logs() as lines:
        async with running(consumers, stage, endpoint) as group:
            for batch in range(4):
                assert await group.deliver(*[record(500 * batch + n, 1 + n) for n in range(500)]) == "committed"
    assert len(stage.versions()) == 2000
    dropped = [line for line in lines if line["event"] == "spans_dropped"]
    assert sum(line["spans"] for line in dropped) == 4 * (500 * 4 + 1)
    assert len(dropped) <= 2
    assert Counter(one.topic for one in published.records) == {"headrace.receipts": 4}
