"""The trace of a change through every worker, on real servers: one prepared pipeline, and a receiver of its spans."""

import asyncio
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from harness.live_workers import running
from harness.otlp_receiver import OtlpReceiver, Received, otlp_receiver
from harness.processes import WorkerProcess
from harness.records import eventually, keyword, product, read_all, receipts
from harness.servers import SERVERS, Servers
from pydantic_core import to_json

from headrace_cli.kafka_topics import apply_topics
from headrace_cli.source_producer import SourceRecord, open_producer
from headrace_runtime.trace_context import carried
from headrace_worker.settings import WorkerSettings
from headrace_worker.worker import load_worker

pytestmark = [pytest.mark.servers, pytest.mark.asyncio(loop_scope="module")]

WORKERS = ("embed", "elasticsearch", "qdrant", "pgvector", "link")
COMMON = {"messaging.system", "messaging.operation.type", "messaging.operation.name", "messaging.destination.name"}
PROCESS = COMMON | {
    "messaging.destination.partition.id", "messaging.kafka.offset", "messaging.kafka.message.key",
    "messaging.consumer.group.name", "messaging.batch.message_count", "headrace.kind", "headrace.version",
    "headrace.outcome",
}  # fmt: skip
Tree = dict[tuple[str, str, str], int]


class Pipeline:
    """The workers of a product's way, in this process, on topics and in stores of their own."""

    def __init__(self, servers: Servers, receiver: OtlpReceiver, directory: Path) -> None:
        name = f"t{uuid.uuid4().hex[:8]}"
        self.receiver = receiver
        self.directory = directory
        self.variables = {
            "TOPIC_PREFIX": f"{name}.",
            "NAMESPACE": name,
            "TELEMETRY__OTLP_ENDPOINT": receiver.url,
            "KAFKA__SESSION_TIMEOUT": "6",
        }
        self._servers = servers
        self.settings = servers.settings(WorkerSettings, *SERVERS, **self.variables)
        self._stopping = asyncio.Event()
        self._started = asyncio.Event()
        self._running: asyncio.Task[None] | None = None

    @property
    def environment(self) -> dict[str, str]:
        return dict(self._servers.need()) | {f"HEADRACE_{key}": value for key, value in self.variables.items()}

    async def open(self) -> None:
        await apply_topics(self.settings, WORKERS)
        for name in WORKERS:
            worker = load_worker(name)
            settings = self._servers.settings(worker.settings, **self.variables)
            for opener in (worker.store, worker.links):
                if opener is not None:
                    store: Any = opener(settings)
                    await store.prepare()
                    await store.close()
        self._running = asyncio.create_task(self._run())
        started = asyncio.create_task(self._started.wait())
        await asyncio.wait([started, self._running], return_when=asyncio.FIRST_COMPLETED)

    async def _run(self) -> None:
        """A fixture ends in another task than it began in, and a worker has to end in its own."""
        async with AsyncExitStack() as stack:
            for name in WORKERS:
                worker = load_worker(name)
                settings = self._servers.settings(worker.settings, **self.variables)
                await stack.enter_async_context(running(worker, settings))
            self._started.set()
            await self._stopping.wait()

    async def close(self) -> None:
        self._stopping.set()
        if self._running is not None:
            await self._running

    async def publish(self, *records: dict[str, Any]) -> list[str]:
        """Publishes as `headrace publish` does. Returns the trace of each record."""
        found = {}
        async with open_producer(self.settings) as producer:
            for record in records:
                kind = "product" if "product_id" in record else "keyword"
                key = str(record[f"{kind}_id"]).encode()
                await producer.publish(SourceRecord(kind, key, to_json(record)))  # type: ignore[arg-type]
            await producer.flush()
        for kind in ("product", "keyword"):
            for record in await read_all(self.settings, self.settings.topics.source(kind)):
                context = carried(record.headers)
                assert context is not None
                found[record.key] = f"{context.trace_id:032x}"
        return [found[str(record.get("product_id") or record.get("keyword_id")).encode()] for record in records]

    async def spans_of(self, trace: str, count: int) -> list[Received]:
        """The spans of a trace, once there are so many; a moment later there are no more."""
        await asyncio.to_thread(self.receiver.wait_for, count, trace, 60.0)
        await asyncio.sleep(1)
        return self.receiver.of(trace)


@pytest.fixture(scope="module")
def receiver() -> Iterator[OtlpReceiver]:
    with otlp_receiver() as running_receiver:
        yield running_receiver


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def pipeline(
    servers: Servers, receiver: OtlpReceiver, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Pipeline]:
    made = Pipeline(servers, receiver, tmp_path_factory.mktemp("logs"))
    try:
        await made.open()
        yield made
    finally:
        await made.close()


def tree(spans: Sequence[Received], prefix: str) -> Counter[tuple[str, str, str]]:
    """How often each (service, span, span of its parent) is in a trace. Names have no prefix of topics."""
    names = {span.id: f"{_service(span)} {_name(span, prefix)}" for span in spans}
    return Counter((_service(span), _name(span, prefix), names.get(span.parent, "")) for span in spans)


def _service(span: Received) -> str:
    return span.service.removeprefix("headrace-")


def _name(span: Received, prefix: str) -> str:
    return span.name.replace(prefix, "")


def steps(worker: str, topic: str, parent: str, *children: str) -> Tree:
    """The span of a record in a worker, and its children."""
    process = f"process {topic}"
    own = {(worker, child, f"{worker} {process}"): 1 for child in ("queued", "decode", *children)}
    return {(worker, process, parent): 1} | own


def story(kind: str, embedded: str) -> Tree:
    """The trace of a change up to the worker that links its product."""
    relink = f"relink.{embedded.partition('.embedded.')[2]}"
    source = f"publish publish {kind}s"
    embed = f"embed process {kind}s"
    return (
        {("publish", f"publish {kind}s", ""): 1}
        | steps("embed", f"{kind}s", source, "embed", "publish")
        | steps("elasticsearch", f"{kind}s", source, "write")
        | steps("qdrant", embedded, embed, "write")
        | steps("pgvector", embedded, embed, "write")
        | steps("link", "receipts", f"qdrant process {embedded}", "link", "publish")
        | steps("link", relink, "link process receipts", "link")
        | steps("elasticsearch", "product-links", f"link process {relink}", "write")
        | steps("pgvector", "product-links", f"link process {relink}", "write")
    )


async def test_the_trace_of_a_product_and_of_a_keyword_has_every_step(pipeline: Pipeline) -> None:
    topics, prefix = pipeline.settings.topics, pipeline.settings.topic_prefix
    expected = story("product", topics.embedded("product", pipeline.settings.model).removeprefix(prefix))
    (trace,) = await pipeline.publish(product("p1", 1, title="steel bottle"))
    spans = await pipeline.spans_of(trace, sum(expected.values()))
    assert tree(spans, prefix) == expected
    processes = [span for span in spans if _name(span, prefix).startswith("process ")]
    assert {span.attributes["headrace.outcome"] for span in processes} == {"applied"}
    assert {span.attributes["messaging.kafka.message.key"] for span in processes} == {"p1"}
    assert {frozenset(span.attributes) for span in processes} == {frozenset(PROCESS)}
    assert {span.error for span in spans} == {None}
    systems = {_service(span): span.attributes["db.system.name"] for span in spans if span.name in ("write", "link")}
    assert systems == {
        "elasticsearch": "elasticsearch", "qdrant": "qdrant", "pgvector": "postgresql", "link": "qdrant"
    }  # fmt: skip
    # Each span of a record is linked to the span of its batch, and that to it.
    batches = {(span.trace, span.id): span for span in pipeline.receiver.spans if span.name.startswith("batch ")}
    for span in processes:
        (link,) = span.links
        assert (span.trace, span.id) in batches[link].links
        assert batches[link].name == f"batch {_service(span)}"

    # A keyword is followed to the link sets of the products that it concerns.
    (trace,) = await pipeline.publish(keyword("steel flask", 1))
    expected = story("keyword", topics.embedded("keyword", pipeline.settings.model).removeprefix(prefix))
    assert tree(await pipeline.spans_of(trace, sum(expected.values())), prefix) == expected


async def test_changes_that_concern_one_product_are_linked_and_all_are_in_their_traces(pipeline: Pipeline) -> None:
    prefix = pipeline.settings.topic_prefix
    traces = await pipeline.publish(*(keyword(f"flask {n}", 1) for n in range(40)))

    def reported(trace: str) -> list[Received]:
        return [span for span in pipeline.receiver.of(trace) if _name(span, prefix) == "process receipts"]

    async def all_reported() -> bool:
        return all(reported(trace) for trace in traces)

    await eventually(all_reported, within=60)
    await asyncio.sleep(2)
    process = f"process {pipeline.settings.topics.relink.removeprefix(prefix)}"
    requested = {trace for trace in traces if any(_name(s, prefix) == process for s in pipeline.receiver.of(trace))}
    assert requested
    for trace in set(traces) - requested:
        # Its receipt was handled with that of another keyword, whose trace the request continues.
        (span,) = reported(trace)
        assert {linked for linked, _ in span.links} & requested
    published = [s for s in pipeline.receiver.spans if s.name == "publish" and s.service == "headrace-link"]
    linked = {trace for span in published for trace, _ in span.links}
    assert set(traces) - requested <= linked


async def test_no_span_is_lost_by_a_rebalance_and_a_worker_that_stops(pipeline: Pipeline) -> None:
    second = WorkerProcess("elasticsearch", pipeline.environment, pipeline.directory)
    second.start()
    try:
        await asyncio.to_thread(second.wait_for, "worker_started")
        ids = [f"r{n}" for n in range(300)]
        traces = await pipeline.publish(*(product(id, 1) for id in ids))

        async def settled() -> bool:
            found = await receipts(pipeline.settings, "elasticsearch")
            return {receipt.id for receipt in found.values() if receipt.kind == "product"} >= set(ids)

        await eventually(settled, within=60)
        assert await asyncio.to_thread(second.stop) == 0
    finally:
        second.end()
    for trace in traces:
        written = [
            s for s in pipeline.receiver.of(trace) if s.service == "headrace-elasticsearch" and "process" in s.name
        ]
        assert "applied" in {span.attributes["headrace.outcome"] for span in written if "products" in span.name}
