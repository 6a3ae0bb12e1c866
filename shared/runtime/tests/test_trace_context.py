"""The trace context of a record: what a header says, what is made from it, and the trace of a record without one."""

import hashlib

import pytest
from harness.kafka_record import kafka_record

from headrace_runtime.trace_context import TraceContext, carried, continued, parsed, trace_headers, trace_id_of

TRACE = "0af7651916cd43dd8448eb211c80319c"
SPAN = "b7ad6b7169203331"


@pytest.mark.parametrize(
    ("header", "flags"),
    [
        (f"00-{TRACE}-{SPAN}-01", 1),
        (f"00-{TRACE}-{SPAN}-00", 0),
        (f"00-{TRACE}-{SPAN}-03", 3),
        (f"cc-{TRACE}-{SPAN}-01-what-the-future-will-be-like", 1),
    ],
)
def test_a_valid_header_is_read(header: str, flags: int) -> None:
    context = parsed(header.encode())
    assert context == TraceContext(int(TRACE, 16), int(SPAN, 16), flags)
    assert context.sampled == bool(flags & 1)
    assert context.traceparent.decode() == f"00-{TRACE}-{SPAN}-{flags:02x}"


@pytest.mark.parametrize(
    "header",
    [
        None,
        b"",
        b"\xff",
        f"ff-{TRACE}-{SPAN}-01".encode(),
        f"00-{TRACE}-{SPAN}-01-more".encode(),
        f"00-{'0' * 32}-{SPAN}-01".encode(),
        f"00-{TRACE}-{'0' * 16}-01".encode(),
        f"00-{TRACE.upper()}-{SPAN}-01".encode(),
        f"00-{TRACE}-{SPAN}".encode(),
        f"00-{TRACE}-{SPAN}-01\n".encode(),
    ],
)
def test_an_invalid_header_counts_as_none(header: bytes | None) -> None:
    assert parsed(header) is None


def test_of_several_headers_the_last_one_counts_and_a_new_span_replaces_all() -> None:
    headers = [("traceparent", b"old"), ("x", b"1"), ("traceparent", f"00-{TRACE}-{SPAN}-01".encode())]
    context = carried(headers)
    assert context is not None
    child = context.child()
    assert (child.trace_id, child.flags) == (context.trace_id, 1)
    assert child.span_id != context.span_id
    assert continued(headers, child) == [("x", b"1"), ("traceparent", child.traceparent)]


def test_only_trace_headers_are_copied_byte_for_byte() -> None:
    pairs = [("x", b"1"), ("traceparent", b"\xff"), ("tracestate", b"a=b"), ("tracestate", None), ("Traceparent", b"2")]
    assert trace_headers(kafka_record(b"", headers=pairs).headers) == pairs[1:4]


def test_the_trace_of_a_record_without_one_is_computed_from_its_position_and_time() -> None:
    record = kafka_record(b"1", topic="headrace.products", partition=3, offset=42, timestamp=1_700_000_000_000)
    named = b"headrace.products\x003\x0042\x001700000000000"
    assert trace_id_of(record) == int.from_bytes(hashlib.sha256(named).digest()[:16])
    others = [
        kafka_record(b"1", topic="headrace.keywords", partition=3, offset=42, timestamp=1_700_000_000_000),
        kafka_record(b"1", topic="headrace.products", partition=4, offset=42, timestamp=1_700_000_000_000),
        kafka_record(b"1", topic="headrace.products", partition=3, offset=43, timestamp=1_700_000_000_000),
        kafka_record(b"1", topic="headrace.products", partition=3, offset=42, timestamp=1_700_000_000_001),
    ]
    assert len({trace_id_of(one) for one in (record, *others)}) == 5
    # The content of a record does not count: a redelivery is in the same trace.
    assert trace_id_of(kafka_record(b"2", topic="headrace.products", partition=3, offset=42)) == trace_id_of(record)
