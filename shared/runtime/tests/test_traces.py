"""A batch is one span, linked to the traces of the records in it."""

import asyncio
from typing import Any

from faststream import ContextRepo, StreamMessage
from harness.kafka_record import kafka_record
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from headrace_runtime.publisher import trace_headers
from headrace_runtime.traces import Traces, otlp_exporter

TRACE_ID = 0x0AF7651916CD43DD8448EB211C80319C


def parent(number: int) -> tuple[str, bytes]:
    return "traceparent", f"00-{TRACE_ID + number:032x}-b7ad6b7169203331-01".encode()


def test_only_trace_headers_are_copied_byte_for_byte() -> None:
    pairs = [("x", b"1"), ("traceparent", b"\xff"), ("tracestate", b"a=b"), ("tracestate", None), ("Traceparent", b"2")]
    assert trace_headers(kafka_record(b"", headers=pairs)) == pairs[1:4]


async def test_a_batch_is_linked_to_each_of_its_traces() -> None:
    exporter = InMemorySpanExporter()
    made = Traces("qdrant", exporter)
    broken = [("traceparent", b"\xff"), ("tracestate", None)]
    pairs = [[parent(n)] for n in range(200)] + [broken, []]
    records = tuple(kafka_record(b"", headers=one) for one in pairs)

    async def handled(message: Any) -> str:
        assert message is given
        return "handled"

    given = StreamMessage(records, b"")
    span_of_batch = made.middleware()(records, context=ContextRepo())
    assert await span_of_batch.consume_scope(handled, given) == "handled"
    made.close()
    (span,) = exporter.get_finished_spans()
    assert span.name == "qdrant apply"
    # A span has at most 128 links by default: those of the first records.
    assert [link.context.trace_id for link in span.links] == [TRACE_ID + n for n in range(128)]
    assert span.resource.attributes["service.name"] == "headrace-qdrant"


async def test_spans_are_posted_to_the_endpoint() -> None:
    paths: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        paths.append((await reader.readline()).split()[1])
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    made = Traces("qdrant", otlp_exporter(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"))

    async def handled(message: Any) -> None:
        return None

    async with server:
        await made.middleware()((), context=ContextRepo()).consume_scope(handled, StreamMessage((), b""))
        await asyncio.to_thread(made.close)
    assert paths == [b"/v1/traces"]
