"""`headrace publish` starts a trace for each row, as the sampler decides, and makes spans if there is an endpoint."""

from collections.abc import Iterator

import pytest
from harness.otlp_receiver import OtlpReceiver, otlp_receiver

from headrace_runtime.publisher import Outgoing
from headrace_runtime.sent_spans import SentSpans, open_sent_spans
from headrace_runtime.trace_context import TraceContext
from headrace_worker.settings import TelemetrySettings


@pytest.fixture
def receiver() -> Iterator[OtlpReceiver]:
    with otlp_receiver() as running:
        yield running


def send(spans: SentSpans, count: int) -> list[TraceContext]:
    started = [spans.start() for _ in range(count)]
    for span in started:
        spans.end(spans.begin("products", b"p1", span))
    return started


async def test_every_sampled_row_has_a_span_and_no_other_row(
    receiver: OtlpReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "parentbased_traceidratio")
    monkeypatch.setenv("OTEL_TRACES_SAMPLER_ARG", "0.5")
    async with open_sent_spans("publish", "publish", TelemetrySettings(otlp_endpoint=receiver.url)) as spans:
        started = send(spans, 2000)
    sampled = {(f"{one.trace_id:032x}", f"{one.span_id:016x}") for one in started if one.sampled}
    assert 800 < len(sampled) < 1200
    assert {(span.trace, span.id) for span in receiver.spans} == sampled
    assert {(span.name, span.kind, span.service, span.parent) for span in receiver.spans} == {
        ("publish products", "producer", "headrace-publish", "")
    }


async def test_without_an_endpoint_the_sampler_decides_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "always_off")
    async with open_sent_spans("publish", "publish", TelemetrySettings()) as spans:
        assert {one.sampled for one in send(spans, 20)} == {False}
    monkeypatch.delenv("OTEL_TRACES_SAMPLER")
    async with open_sent_spans("publish", "publish", TelemetrySettings()) as spans:
        assert {one.sampled for one in send(spans, 20)} == {True}


async def test_an_unsampled_letter_keeps_its_trace_and_gets_no_span(receiver: OtlpReceiver) -> None:
    header = ("traceparent", TraceContext(0xA, 0xB, 0).traceparent)
    async with open_sent_spans("replay", "replay", TelemetrySettings(otlp_endpoint=receiver.url)) as spans:
        record, sent = spans.continued(Outgoing("replay", b"k", b"v", [("x", b"1")]), [header])
        spans.end(sent)
        unchanged, _ = spans.continued(Outgoing("replay", b"k", b"v", [("x", b"1")]), [])
    assert list(record.headers) == [("x", b"1"), header]
    assert list(unchanged.headers) == [("x", b"1")]
    assert receiver.spans == []
