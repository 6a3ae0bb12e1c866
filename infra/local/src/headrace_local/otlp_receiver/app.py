"""The receiver's routes over HTTP, and its service over gRPC."""

import gzip
import io
import zlib
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any

import grpc  # type: ignore[import-untyped]  # no types exist
from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import (
    TraceServiceServicer,
    add_TraceServiceServicer_to_server,
)
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from headrace_local.otlp_receiver.spans import SpanFile

PROTOBUF = "application/x-protobuf"
MAX_BYTES = 64 * 2**20
"""Of a request, unpacked."""
GRACE_SECONDS = 1.0


def application(spans: SpanFile, grpc_address: str) -> Starlette:
    """`POST /v1/traces` takes spans; `GET /traces/TRACE_ID` answers a trace, and `GET /` the counts, as JSON.

    While it runs, the address takes spans over gRPC. At its end it closes the file.
    """

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        server = _grpc_server(spans, grpc_address)
        server.start()
        yield
        server.stop(GRACE_SECONDS).wait()
        spans.close()

    async def export(request: Request) -> Response:
        if request.headers.get("content-type", "").partition(";")[0].strip() != PROTOBUF:
            return PlainTextResponse(f"send {PROTOBUF}; JSON is not read", 415)
        try:
            body = _unpacked(await request.body(), request.headers.get("content-encoding", "identity"))
            message = ExportTraceServiceRequest.FromString(body)
        except (ValueError, OSError, EOFError, zlib.error, DecodeError) as error:
            return PlainTextResponse(f"the request cannot be read: {error}", 400)
        await run_in_threadpool(spans.add, message)
        return Response(ExportTraceServiceResponse().SerializeToString(), media_type=PROTOBUF)

    async def trace(request: Request) -> Response:
        trace_id = request.path_params["trace_id"].lower()
        found = await run_in_threadpool(spans.trace, trace_id)
        status = 200 if found else 404
        return JSONResponse({"trace_id": trace_id, "spans": found}, status)

    async def counts(request: Request) -> Response:
        return JSONResponse(await run_in_threadpool(spans.counts))

    return Starlette(
        routes=[
            Route("/", counts),
            Route("/v1/traces", export, methods=["POST"]),
            Route("/traces/{trace_id}", trace),
        ],
        lifespan=lifespan,
    )


def _grpc_server(spans: SpanFile, address: str) -> Any:
    """Raises RuntimeError if the address is in use."""

    class TraceService(TraceServiceServicer):
        def Export(self, request: ExportTraceServiceRequest, context: Any) -> ExportTraceServiceResponse:
            spans.add(request)
            return ExportTraceServiceResponse()

    options = [("grpc.max_receive_message_length", MAX_BYTES), ("grpc.so_reuseport", 0)]
    server = grpc.server(ThreadPoolExecutor(2), options=options)
    add_TraceServiceServicer_to_server(TraceService(), server)  # type: ignore[no-untyped-call]
    server.add_insecure_port(address)
    return server


def _unpacked(body: bytes, encoding: str) -> bytes:
    """Raises ValueError, OSError, EOFError or zlib.error for content that is not of this encoding or too large."""
    if encoding not in ("identity", "gzip"):
        raise ValueError(f"the encoding {encoding!r} is neither gzip nor identity")
    if encoding == "gzip":
        with gzip.open(io.BytesIO(body)) as file:
            body = file.read(MAX_BYTES + 1)
    if len(body) > MAX_BYTES:
        raise ValueError(f"more than {MAX_BYTES} bytes")
    return body
