"""A receiver of spans, as a collector is: OTLP over HTTP and over gRPC, in threads of this process."""

import threading
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import grpc
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import (
    TraceServiceServicer,
    add_TraceServiceServicer_to_server,
)

from headrace_local.otlp_receiver.spans import spans_of


@dataclass(frozen=True)
class Received:
    """One span. Ids are hex digits; `parent` is "" for the first span of a trace; `links`: (trace, span)."""

    service: str
    name: str
    kind: str
    trace: str
    id: str
    parent: str
    started: int
    ended: int
    links: tuple[tuple[str, str], ...]
    attributes: dict[str, Any] = field(hash=False)
    resource: dict[str, Any] = field(hash=False)
    error: str | None = None
    headers: tuple[tuple[str, str], ...] = ()


class OtlpReceiver:
    """Keeps the spans that it receives, `delay` seconds late. While `status` is not 200 it refuses them with it."""

    def __init__(self) -> None:
        self.spans: list[Received] = []
        self.requests: list[str] = []
        self.status = 200
        self.delay = 0.0
        self.url = ""
        self.grpc_url = ""

    def of(self, trace: str) -> list[Received]:
        """The spans of one trace, in the order of their start."""
        return sorted((span for span in self.spans if span.trace == trace), key=lambda span: (span.started, span.ended))

    def take(self, request: ExportTraceServiceRequest, protocol: str, headers: Iterable[tuple[str, str]]) -> None:
        """Keeps the spans of one request."""
        time.sleep(self.delay)
        self.requests.append(protocol)
        self.spans += [_received(span, tuple(headers)) for span in spans_of(request)]

    def wait_for(self, count: int, trace: str | None = None, within: float = 20.0) -> list[Received]:
        """Waits until there are so many spans, of one trace or at all, and returns them."""
        until = time.monotonic() + within
        while len(found := self.of(trace) if trace else list(self.spans)) < count:
            assert time.monotonic() < until, f"{len(found)} spans of {count}: {sorted(span.name for span in found)}"
            time.sleep(0.02)
        return found


def _received(span: dict[str, Any], headers: tuple[tuple[str, str], ...]) -> Received:
    return Received(
        service=str(span["resource"].get("service.name")),
        name=span["name"],
        kind=span["kind"].lower(),
        trace=span["trace_id"],
        id=span["span_id"],
        parent=span["parent_span_id"] or "",
        started=span["start_ns"],
        ended=span["end_ns"],
        links=tuple((link["trace_id"], link["span_id"]) for link in span["links"]),
        attributes=span["attributes"],
        resource=span["resource"],
        error=span["status_message"] if span["status"] == "ERROR" else None,
        headers=headers,
    )


class _Servicer(TraceServiceServicer):  # type: ignore[misc]
    def __init__(self, receiver: OtlpReceiver) -> None:
        self._receiver = receiver

    def Export(self, request: Any, context: Any) -> ExportTraceServiceResponse:
        """The one method of the service."""
        if self._receiver.status != 200:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "refused")
        self._receiver.take(request, "grpc", [(key, value) for key, value in context.invocation_metadata()])
        return ExportTraceServiceResponse()


@contextmanager
def otlp_receiver() -> Iterator[OtlpReceiver]:
    """A receiver on two free ports while the block runs."""
    receiver = OtlpReceiver()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if receiver.status == 200 and self.path == "/v1/traces":
                receiver.take(ExportTraceServiceRequest.FromString(body), "http", list(self.headers.items()))
            answer = ExportTraceServiceResponse().SerializeToString()
            self.send_response(receiver.status if self.path == "/v1/traces" else 404)
            self.send_header("Content-Type", "application/x-protobuf")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *arguments: Any) -> None:
            """Writes nothing."""

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=http.serve_forever, args=(0.05,), daemon=True).start()
    rpc = grpc.server(ThreadPoolExecutor(2))
    add_TraceServiceServicer_to_server(_Servicer(receiver), rpc)
    receiver.url = f"http://127.0.0.1:{http.server_port}"
    receiver.grpc_url = f"http://127.0.0.1:{rpc.add_insecure_port('127.0.0.1:0')}"
    rpc.start()
    try:
        yield receiver
    finally:
        http.shutdown()
        http.server_close()
        rpc.stop(None).wait()
