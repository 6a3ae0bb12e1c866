"""The trace of a change in the requests that its receipt causes, without servers: what Qdrant answers is given."""

import json
import time
from collections.abc import AsyncIterator, Collection, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
from harness.fake_consumers import FakeConsumers
from harness.kafka_record import kafka_record
from harness.memory import MemoryStage
from harness.otlp_receiver import OtlpReceiver, Received, otlp_receiver

from headrace_link.app import worker
from headrace_link.catalogue import Content
from headrace_link.receipts import ReceiptStage
from headrace_link.records import Request
from headrace_link.settings import LinkSettings
from headrace_runtime.app import build
from headrace_runtime.publisher import Outgoing, Publisher
from headrace_runtime.trace_context import TraceContext, carried
from headrace_worker.stage import Arrival

PARENT = 0xB7AD6B7169203331
TOPIC = "headrace.receipts"


class Qdrant:
    """Every product is new, and every keyword concerns the products of `concerned`."""

    concerned: Collection[str] = ("p1", "p2")

    async def contents(self, ids: Sequence[str]) -> dict[str, Content]:
        return dict.fromkeys(ids, Content("hash", "title"))

    async def payloads(self, ids: Sequence[str], fields: Any) -> dict[str, Any]:
        return {}

    async def keywords(self, ids: Sequence[str]) -> dict[str, None]:
        return dict.fromkeys(ids)

    async def open_or_outdated(self, contents: Any) -> set[str]:
        return set(self.concerned)

    async def count(self) -> int:
        return 2

    async def check(self) -> None:
        """It answers."""


class Estimate:
    """`sweeps`: whether keywords cause a sweep."""

    sweeps = False

    def too_many_keywords(self, keywords: int) -> bool:
        return self.sweeps

    def limit(self, products: int) -> int:
        return 10

    async def exceeds(self, limit: int, **numbers: int) -> bool:
        return False

    def add(self, products: int) -> None:
        """Counts nothing."""


class Listener:
    """The listener of link with what it published and the spans that it made."""

    def __init__(self, receiver: OtlpReceiver) -> None:
        self.receiver = receiver
        self.estimate = Estimate()
        self.published: list[Outgoing] = []

    @asynccontextmanager
    async def stage(self, settings: LinkSettings) -> AsyncIterator[ReceiptStage]:
        qdrant: Any = Qdrant()
        estimate: Any = self.estimate
        yield ReceiptStage(qdrant, qdrant, estimate, settings.topics)

    async def handle(self, consumers: FakeConsumers, *receipts: dict[str, Any], **telemetry: Any) -> None:
        """Handles one record with these receipts."""

        @asynccontextmanager
        async def links(settings: LinkSettings) -> AsyncIterator[MemoryStage]:
            yield MemoryStage()

        assert worker.listener is not None
        listening = replace(worker, stage=links, listener=replace(worker.listener, stage=self.stage))
        settings = LinkSettings.model_validate({"telemetry": telemetry})
        value = {"worker": "qdrant", "applied_at": "2026-03-01T09:30:00Z", "receipts": receipts}
        now = int(time.time() * 1000)
        record = kafka_record(json.dumps(value).encode(), topic=TOPIC, offset=5, timestamp=now)
        async with build(listening, settings).start_lifespan_context():
            group = await consumers.group(f"headrace.link.{settings.model}.receipts")
            assert await group.deliver(record) == "committed"

    def requests(self) -> dict[str, TraceContext | None]:
        """The trace that each request, or sweep, continues."""
        return {(one.key or b"").decode(): carried(one.headers) for one in self.published}

    def process(self, trace: int) -> Received:
        """The span of a change here."""
        (found,) = (one for one in self.receiver.of(f"{trace:032x}") if one.name == f"process {TOPIC}")
        return found


@pytest.fixture
def consumers(monkeypatch: pytest.MonkeyPatch) -> FakeConsumers:
    made = FakeConsumers()
    made.install(monkeypatch)
    return made


@pytest.fixture
def listener(monkeypatch: pytest.MonkeyPatch) -> Iterable[Listener]:
    with otlp_receiver() as receiver:
        made = Listener(receiver)

        async def keep(publisher: Publisher, records: Sequence[Outgoing]) -> None:
            made.published.extend(records)

        monkeypatch.setattr(Publisher, "publish", keep)
        yield made


def receipt(kind: str, id: str, trace: int | None, outcome: str = "applied") -> dict[str, Any]:
    fields = {"topic": "t", "partition": 0, "offset": 1, "outcome": outcome, "kind": kind, "id": id, "version": 7}
    if trace is not None:
        fields["traceparent"] = TraceContext(trace, PARENT, 1).traceparent.decode()
    return fields


async def test_each_change_is_followed_and_a_request_continues_the_first_of_them(
    consumers: FakeConsumers, listener: Listener
) -> None:
    changes = [
        receipt("product", "p0", 0xA),
        receipt("product", "p1", None),
        receipt("keyword", "k0", None),
        receipt("keyword", "k1", 0xB),
        receipt("keyword", "k2", 0xC),
        receipt("keyword", "k3", 0xD, outcome="superseded"),
    ]
    await listener.handle(consumers, *changes, otlp_endpoint=listener.receiver.url)
    spans = [span for span in listener.receiver.spans if not span.name.startswith("batch ")]
    assert {int(span.trace, 16) for span in spans} == {0xA, 0xB, 0xC}
    product, first, second = (listener.process(trace) for trace in (0xA, 0xB, 0xC))
    assert {int(one.parent, 16) for one in (product, first, second)} == {PARENT}
    assert (first.attributes["messaging.kafka.message.key"], first.attributes["headrace.version"]) == ("k1", 7)
    assert (first.attributes["headrace.kind"], first.attributes["headrace.outcome"]) == ("keyword", "applied")
    asked = listener.requests()
    assert asked["p0"] == TraceContext(0xA, int(product.id, 16), 1)
    # p1 and p2 are concerned by both keywords: the request continues the first and its publication is linked to the
    # second, which is linked back.
    assert asked["p1"] == asked["p2"] == TraceContext(0xB, int(first.id, 16), 1)
    publish = {int(span.trace, 16): span for span in spans if span.name == "publish"}
    assert set(publish) == {0xA, 0xB}
    assert publish[0xB].links == ((second.trace, second.id),)
    assert publish[0xB].attributes["messaging.batch.message_count"] == 2
    assert (first.trace, first.id) in second.links
    assert {span.name for span in spans if int(span.trace, 16) == 0xC} == {
        f"process {TOPIC}", "queued", "decode", "link"
    }  # fmt: skip


async def test_a_sweep_continues_the_trace_of_the_keywords_that_caused_it(
    consumers: FakeConsumers, listener: Listener
) -> None:
    listener.estimate.sweeps = True
    keywords = [receipt("keyword", "k1", 0xB), receipt("keyword", "k2", 0xC)]
    await listener.handle(consumers, *keywords, otlp_endpoint=listener.receiver.url)
    (sweep,) = listener.requests().values()
    assert sweep == TraceContext(0xB, int(listener.process(0xB).id, 16), 1)


async def test_requests_of_changes_that_are_not_sampled_are_in_a_trace_without_spans(
    consumers: FakeConsumers, listener: Listener
) -> None:
    await listener.handle(consumers, receipt("product", "p0", None), otlp_endpoint=listener.receiver.url)
    asked = listener.requests()["p0"]
    assert asked is not None
    assert not asked.sampled
    assert listener.receiver.spans == []


async def test_without_an_endpoint_a_request_has_the_trace_as_it_came(
    consumers: FakeConsumers, listener: Listener
) -> None:
    await listener.handle(consumers, receipt("product", "p0", 0xA), receipt("product", "p1", None))
    assert listener.requests() == {"p0": TraceContext(0xA, PARENT, 1), "p1": None}


def test_a_link_set_continues_the_trace_of_its_request() -> None:
    headers = [("x", b"1"), ("traceparent", TraceContext(0xA, PARENT, 1).traceparent), ("tracestate", b"a=b")]
    arrival = Arrival("headrace.relink", 0, 5, False, headers)
    request = Request.model_validate({"product_id": "p0"}, context=arrival)
    assert request.carried == tuple(headers[1:])
