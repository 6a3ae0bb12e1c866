"""The receiver takes spans as OpenTelemetry's exporters send them, keeps the newest ones, and answers traces."""

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from opentelemetry.exporter.otlp.proto.http.trace_exporter import Compression, OTLPSpanExporter
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import TraceServiceStub
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.trace import Link, SpanContext, SpanKind, StatusCode, TraceFlags

from headrace_local.otlp import ENDPOINT
from headrace_local.otlp_receiver.spans import SpanFile
from headrace_local.settings_file import read_settings
from headrace_local.stack import Stack


@pytest.fixture(scope="module")
def receiver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    stack = Stack(tmp_path_factory.mktemp("otlp"), services={"otlp"})
    stack.up()
    yield stack
    stack.destroy()


def url(receiver: Stack) -> str:
    (server,) = receiver.status()
    return f"http://127.0.0.1:{server.ports['http']}"


def answer(address: str) -> Any:
    with urllib.request.urlopen(address, timeout=10) as response:
        return json.load(response)


def test_the_trace_that_an_exporter_sends_is_answered_by_its_id_also_after_a_kill(receiver: Stack) -> None:
    provider = TracerProvider(resource=Resource({"service.name": "headrace-embed"}))
    exporter = OTLPSpanExporter(f"{url(receiver)}/v1/traces", compression=Compression.Gzip)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracer = provider.get_tracer("test")
    other = SpanContext(2**127 + 5, 2**63 + 7, is_remote=True, trace_flags=TraceFlags(1))
    with tracer.start_as_current_span("process products", kind=SpanKind.CONSUMER, links=[Link(other)]) as parent:
        parent.set_attributes({"messaging.kafka.offset": 12, "keys": ["a", "b"], "share": 0.5, "sampled": True})
        with tracer.start_as_current_span("embed") as child:
            child.set_status(StatusCode.ERROR, "unavailable")
            child.add_event("retry", {"attempt": 2})
    provider.shutdown()
    trace_id = f"{parent.get_span_context().trace_id:032x}"
    receiver.kill("otlp")
    receiver.start("otlp")
    process, embed = answer(f"{url(receiver)}/traces/{trace_id}")["spans"]
    assert (process["name"], process["kind"], process["parent_span_id"]) == ("process products", "CONSUMER", None)
    assert process["attributes"] == {"messaging.kafka.offset": 12, "keys": ["a", "b"], "share": 0.5, "sampled": True}
    assert process["resource"]["service.name"] == "headrace-embed"
    assert [(link["trace_id"], link["span_id"]) for link in process["links"]] == [
        (f"{other.trace_id:032x}", f"{other.span_id:016x}")
    ]
    assert embed["parent_span_id"] == process["span_id"]
    assert (embed["status"], embed["status_message"]) == ("ERROR", "unavailable")
    assert [event["attributes"] for event in embed["events"]] == [{"attempt": 2}]
    assert process["start_ns"] <= embed["start_ns"] <= embed["end_ns"] <= process["end_ns"]


def test_spans_arrive_over_grpc_too_and_are_counted(receiver: Stack) -> None:
    before = answer(url(receiver))
    (server,) = receiver.status()
    with grpc.insecure_channel(f"127.0.0.1:{server.ports['grpc']}") as channel:
        TraceServiceStub(channel).Export(request(b"\x07" * 16, 3), timeout=10)
    after = answer(url(receiver))
    assert after["received"] - before["received"] == after["spans"] - before["spans"] == 3
    assert after["traces"] - before["traces"] == 1
    assert len(answer(f"{url(receiver)}/traces/{'07' * 16}")["spans"]) == 3


@pytest.mark.parametrize(
    ("path", "body", "headers", "status"),
    [
        ("/v1/traces", b"{}", {"content-type": "application/json"}, 415),
        ("/v1/traces", b"\xff\xff", {"content-type": "application/x-protobuf"}, 400),
        ("/v1/traces", b"", {"content-type": "application/x-protobuf", "content-encoding": "br"}, 400),
        ("/v1/traces", b"no gzip", {"content-type": "application/x-protobuf", "content-encoding": "gzip"}, 400),
        ("/traces/00", None, {}, 404),
    ],
)
def test_what_cannot_be_read_or_is_not_there_has_its_status(
    receiver: Stack, path: str, body: bytes | None, headers: dict[str, str], status: int
) -> None:
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(urllib.request.Request(url(receiver) + path, body, headers), timeout=10)
    refused.value.close()
    assert refused.value.code == status


def test_only_the_newest_spans_are_kept(tmp_path: Path) -> None:
    spans = SpanFile(tmp_path / "spans.sqlite", limit=10)
    for number in range(5):
        spans.add(request(bytes([number]) * 16, 4))
    assert spans.counts() == {"spans": 10, "traces": 3, "received": 20, "limit": 10}
    assert [len(spans.trace(f"{number:02x}" * 16)) for number in range(5)] == [0, 0, 2, 4, 4]
    spans.close()


def test_workers_send_no_traces_to_a_receiver_that_runs_no_longer(receiver: Stack) -> None:
    assert read_settings(receiver.settings_path)[ENDPOINT] == url(receiver)
    receiver.down()
    Stack(receiver.data_dir, services={"qdrant"}).up()
    assert ENDPOINT not in read_settings(receiver.settings_path)


def request(trace_id: bytes, spans: int) -> ExportTraceServiceRequest:
    made = [Span(trace_id=trace_id, span_id=bytes([n]) * 8, name=f"span {n}") for n in range(1, spans + 1)]
    return ExportTraceServiceRequest(resource_spans=[ResourceSpans(scope_spans=[ScopeSpans(spans=made)])])
