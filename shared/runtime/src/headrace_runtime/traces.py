"""Traces: one span for a batch, linked to the trace of every record in it; the trace headers travel on to outputs."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from headrace_runtime.decoder import KafkaRecord
from headrace_runtime.publisher import Headers
from headrace_worker.settings import TelemetrySettings

TRACE_HEADERS = ("traceparent", "tracestate")
MAX_LINKS = 128
"""OpenTelemetry's default limit of links in a span; more would be dropped when exported."""

_propagator = TraceContextTextMapPropagator()


class Traces:
    """Spans of one worker. Without an endpoint nothing is recorded, and the headers travel all the same."""

    def __init__(self, worker: str, settings: TelemetrySettings) -> None:
        self._worker = worker
        self._provider: TracerProvider | None = None
        if settings.otlp_endpoint is not None:
            self._provider = TracerProvider(resource=Resource({"service.name": f"headrace-{worker}"}))
            exporter = OTLPSpanExporter(endpoint=settings.otlp_endpoint.rstrip("/") + "/v1/traces")
            self._provider.add_span_processor(BatchSpanProcessor(exporter))

    @contextmanager
    def batch(self, records: Iterable[KafkaRecord]) -> Iterator[None]:
        """A span around the handling of a batch."""
        if self._provider is None:
            yield
            return
        links = [link for record in records if (link := _link(record)) is not None][:MAX_LINKS]
        tracer = self._provider.get_tracer("headrace")
        with tracer.start_as_current_span(f"{self._worker} apply", links=links, kind=trace.SpanKind.CONSUMER):
            yield

    def close(self) -> None:
        """Sends what is still held."""
        if self._provider is not None:
            self._provider.shutdown()


def trace_headers(record: KafkaRecord) -> Headers:
    """The headers that carry the source event's trace, for every record made from it."""
    return [(name, value) for name, value in record.headers if name in TRACE_HEADERS]


def _link(record: KafkaRecord) -> trace.Link | None:
    carrier = {name: (value or b"").decode(errors="replace") for name, value in trace_headers(record)}
    context = trace.get_current_span(_propagator.extract(carrier)).get_span_context()
    return trace.Link(context) if context.is_valid else None
