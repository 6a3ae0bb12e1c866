"""Sends encoded spans to an OTLP endpoint, with the SDK's exporters and their variables (`OTEL_EXPORTER_OTLP_HEADERS`,
`_TIMEOUT`, `_CERTIFICATE`, `_COMPRESSION`).

A process imports this module only if its settings name an endpoint: OpenTelemetry takes a fifth of a worker's import.
The exporters encode objects of the SDK and have no public way to send what is encoded already: `export` uses what each
calls after that. A test sends spans with both, to a receiver.
"""

import logging
import uuid
from collections.abc import Sequence
from typing import Any

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as HttpSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace.export import SpanExportResult

from headrace_runtime.span_encoding import request, resource
from headrace_runtime.span_queue import Exporter
from headrace_worker.settings import TelemetrySettings

# Lost spans are counted and reported once a minute; the exporters log each attempt.
logging.getLogger("opentelemetry.exporter").setLevel(logging.CRITICAL)


class HttpExporter:
    """Sends spans over HTTP. `of_resource`: what they have in common, encoded."""

    def __init__(self, endpoint: str, of_resource: bytes) -> None:
        self._exporter: Any = HttpSpanExporter(endpoint=endpoint.rstrip("/") + "/v1/traces")
        self._of_resource = of_resource

    def export(self, spans: Sequence[bytes]) -> bool:
        """Whether the collector has taken them."""
        return bool(self._exporter._client.export(request(self._of_resource, spans)).success)

    def shutdown(self) -> None:
        """Ends an export that waits."""
        self._exporter.shutdown()


class GrpcExporter:
    """Sends spans over gRPC. `of_resource`: what they have in common, encoded."""

    def __init__(self, endpoint: str, of_resource: bytes) -> None:
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcSpanExporter
        from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

        class Encoded(GrpcSpanExporter):
            def _translate_data(self, data: Sequence[bytes]) -> ExportTraceServiceRequest:  # type: ignore[override]
                encoded: ExportTraceServiceRequest = ExportTraceServiceRequest.FromString(request(of_resource, data))
                return encoded

        self._exporter = Encoded(endpoint=endpoint)

    def export(self, spans: Sequence[bytes]) -> bool:
        """Whether the collector has taken them."""
        return self._exporter.export(spans) is SpanExportResult.SUCCESS  # type: ignore[arg-type]

    def shutdown(self) -> None:
        """Ends an export that waits."""
        self._exporter.shutdown()


def otlp_exporter(service: str, settings: TelemetrySettings) -> Exporter:
    """Sends the spans of a process. `service`: its name, without headrace-. `OTEL_RESOURCE_ATTRIBUTES` adds to it."""
    assert settings.otlp_endpoint is not None
    own = Resource.create({"service.name": f"headrace-{service}", "service.instance.id": str(uuid.uuid4())})
    of_resource = resource({name: str(value) for name, value in own.attributes.items()})
    exporter = GrpcExporter if settings.otlp_protocol == "grpc" else HttpExporter
    return exporter(settings.otlp_endpoint, of_resource)
