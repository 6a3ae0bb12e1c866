"""The traces of one worker, sent with OTLP.

A worker imports this module only if its settings name an endpoint: OpenTelemetry takes a fifth of a worker's import.
"""

import os
import uuid
from collections.abc import Callable, Collection

import structlog
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace.export import SpanExporter

from headrace_runtime.batch_spans import BatchSpans
from headrace_runtime.batch_trace import BatchTraces, EndedBatch
from headrace_runtime.head_sampler import head_sampler
from headrace_runtime.span_queue import SpanQueue
from headrace_worker.settings import TelemetrySettings
from headrace_worker.worker import Worker

log = structlog.get_logger(__name__)

Dropped = Callable[[int], object]
"""Gets the number of spans that are lost, each time that some are."""


def otlp_exporter(settings: TelemetrySettings) -> SpanExporter:
    """Sends spans to the endpoint. `OTEL_EXPORTER_OTLP_HEADERS`, `_CERTIFICATE` and `_TIMEOUT` count, too."""
    assert settings.otlp_endpoint is not None
    if settings.otlp_protocol == "grpc":
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcExporter

        return GrpcExporter(endpoint=settings.otlp_endpoint)
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as HttpExporter

    return HttpExporter(endpoint=settings.otlp_endpoint.rstrip("/") + "/v1/traces")


def resource_of(name: str) -> Resource:
    """What the spans of a process have in common. `OTEL_RESOURCE_ATTRIBUTES` adds to it."""
    return Resource.create({"service.name": f"headrace-{name}", "service.instance.id": str(uuid.uuid4())})


class Traces:
    """Makes the spans of one worker and sends them with `exporter`. `dead_topic`: the topic of its dead letters."""

    def __init__(
        self,
        worker: Worker,
        settings: TelemetrySettings,
        dead_topic: str,
        exporter: SpanExporter,
        on_dropped: Dropped,
    ) -> None:
        self._spans = BatchSpans(worker, resource_of(worker.name), dead_topic)
        self._queue = SpanQueue(exporter, on_dropped)
        self._on_dropped = on_dropped
        self._sampler = head_sampler(os.environ)
        self._slow_after = settings.slow_after

    def of(self, group: str, reporting: Collection[str] = ()) -> BatchTraces:
        """The traces of a consumer group. `reporting`: its topics whose records report on many changes."""
        return BatchTraces(group, self._sampler, self._export, self._slow_after, frozenset(reporting))

    async def close(self) -> None:
        """Sends the spans that are not sent yet, within a limited time."""
        await self._queue.close()

    async def _export(self, batch: EndedBatch) -> None:
        try:
            await self._queue.put(self._spans.of(batch))
        except Exception as error:
            # A fault in a trace stops no record.
            log.error("spans_not_made", raised=type(error).__name__, exc_info=error)
            self._on_dropped(len(batch.traced))
