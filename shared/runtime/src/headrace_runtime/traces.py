"""Traces: one span for each batch, linked to the trace of every record in it.

A worker imports this module only if its settings name an endpoint: OpenTelemetry takes a fifth of a worker's import.
"""

from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from typing import Any

from faststream import BaseMiddleware
from faststream.message import StreamMessage
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from headrace_runtime.decoder import KafkaRecord
from headrace_runtime.publisher import trace_headers

MAX_LINKS = 128
"""OpenTelemetry's default limit of links in a span; it drops further links."""

_propagator = TraceContextTextMapPropagator()


def otlp_exporter(endpoint: str) -> SpanExporter:
    """Sends spans to the endpoint with OTLP over HTTP."""
    return OTLPSpanExporter(endpoint=endpoint.rstrip("/") + "/v1/traces")


class Traces:
    """The spans of one worker, sent with `exporter`."""

    def __init__(self, worker: str, exporter: SpanExporter) -> None:
        self._worker = worker
        self._provider = TracerProvider(resource=Resource({"service.name": f"headrace-{worker}"}))
        self._provider.add_span_processor(BatchSpanProcessor(exporter))

    def middleware(self) -> Callable[..., "BatchSpan"]:
        """The FastStream middleware that puts each batch in a span."""
        return partial(BatchSpan, tracer=self._provider.get_tracer("headrace"), name=f"{self._worker} apply")

    def close(self) -> None:
        """Sends the spans that are not sent yet."""
        self._provider.shutdown()


class BatchSpan(BaseMiddleware):
    """A span around the handling of one batch."""

    def __init__(self, msg: Any | None, /, *, tracer: trace.Tracer, name: str, **options: Any) -> None:
        super().__init__(msg, **options)
        self._tracer = tracer
        self._name = name

    async def consume_scope(self, call_next: Callable[[Any], Awaitable[Any]], msg: StreamMessage[Any]) -> Any:
        """FastStream's hook around the handler; `msg` is a batch."""
        links = trace_links(msg.raw_message)
        with self._tracer.start_as_current_span(self._name, links=links, kind=trace.SpanKind.CONSUMER):
            return await call_next(msg)


def trace_links(records: Iterable[KafkaRecord]) -> list[trace.Link]:
    """Links to the traces of the records, at most MAX_LINKS."""
    return [link for record in records if (link := _link(record)) is not None][:MAX_LINKS]


def _link(record: KafkaRecord) -> trace.Link | None:
    carrier = {name: (value or b"").decode(errors="replace") for name, value in trace_headers(record)}
    context = trace.get_current_span(_propagator.extract(carrier)).get_span_context()
    return trace.Link(context) if context.is_valid else None
