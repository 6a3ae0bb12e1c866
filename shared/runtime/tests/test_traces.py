"""A batch is one span, linked to the traces of the records in it."""

import pytest
from harness.kafka_record import kafka_record
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from headrace_runtime import traces
from headrace_runtime.traces import Traces, trace_headers
from headrace_worker.settings import TelemetrySettings

TRACE_ID = 0x0AF7651916CD43DD8448EB211C80319C


def parent(number: int) -> tuple[str, bytes]:
    return "traceparent", f"00-{TRACE_ID + number:032x}-b7ad6b7169203331-01".encode()


def test_only_trace_headers_travel_and_they_travel_byte_for_byte() -> None:
    pairs = [("x", b"1"), ("traceparent", b"\xff"), ("tracestate", b"a=b"), ("tracestate", None), ("Traceparent", b"2")]
    assert trace_headers(kafka_record(b"", headers=pairs)) == pairs[1:4]


def test_a_batch_is_linked_to_each_of_its_traces(monkeypatch: pytest.MonkeyPatch) -> None:
    exporter = InMemorySpanExporter()
    endpoints: list[str] = []

    def exporting_to(endpoint: str) -> InMemorySpanExporter:
        endpoints.append(endpoint)
        return exporter

    monkeypatch.setattr(traces, "OTLPSpanExporter", exporting_to)
    made = Traces("qdrant", TelemetrySettings(otlp_endpoint="http://127.0.0.1:4318/"))
    broken = [("traceparent", b"\xff"), ("tracestate", None)]
    pairs = [[parent(n)] for n in range(200)] + [broken, []]
    with made.batch([kafka_record(b"", headers=one) for one in pairs]):
        pass
    made.close()
    (span,) = exporter.get_finished_spans()
    assert span.name == "qdrant apply"
    # As many as a span carries by default: the first 128.
    assert [link.context.trace_id for link in span.links] == [TRACE_ID + n for n in range(128)]
    assert span.resource.attributes["service.name"] == "headrace-qdrant"
    assert endpoints == ["http://127.0.0.1:4318/v1/traces"]


def test_without_an_endpoint_nothing_is_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(traces, "OTLPSpanExporter")
    made = Traces("qdrant", TelemetrySettings())
    with made.batch([kafka_record(b"", headers=[parent(1)])]):
        pass
    made.close()
