"""The trace context that a record carries: W3C's header `traceparent` (https://www.w3.org/TR/trace-context/).

Nothing here needs OpenTelemetry, which a worker imports only if its settings name an endpoint.
"""

import hashlib
import random
import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from headrace_runtime.decoder import KafkaRecord
    from headrace_runtime.publisher import Headers

TRACEPARENT, TRACESTATE = "traceparent", "tracestate"
TRACE_HEADERS = (TRACEPARENT, TRACESTATE)
LARGEST_TRACE_HEADER = 1024
"""Bytes. W3C's trace context has 55, and asks for at least 512 of its vendors' part."""
SAMPLED = 1
"""The bit of the flags that asks for the spans of a trace."""

_FORM = re.compile(rb"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")


class TraceContext(NamedTuple):
    """A span of a trace, which the spans of later steps have as their parent. `flags`: the byte of W3C's header."""

    trace_id: int
    span_id: int
    flags: int = 0

    @property
    def sampled(self) -> bool:
        """Whether the spans of the trace are exported."""
        return bool(self.flags & SAMPLED)

    @property
    def traceparent(self) -> bytes:
        """The value of the header."""
        return b"00-%032x-%016x-%02x" % self

    def child(self) -> "TraceContext":
        """A new span of the same trace."""
        return TraceContext(self.trace_id, new_span_id(), self.flags)


NO_SPANS: Mapping[int, TraceContext] = {}
"""The spans of records, by id of the record object, of a batch without any."""
UNSAMPLED = b"-00"
"""The end of the header of a trace that is not sampled, as nearly all are."""


def parsed(value: bytes | None) -> TraceContext | None:
    """The context in a header's value; None if the value is not valid, which counts as no header."""
    found = _FORM.fullmatch(value or b"")
    if found is None or found[1] == b"ff" or (found[1] == b"00" and found[5]):
        return None
    context = TraceContext(int(found[2], 16), int(found[3], 16), int(found[4], 16))
    return context if context.trace_id and context.span_id else None


def carried(headers: "Headers") -> TraceContext | None:
    """The context in the headers of a record. Of several headers the last one counts, which is the newest."""
    for name, value in reversed(headers):
        if name == TRACEPARENT:
            return parsed(value)
    return None


def spans_before(records: "Iterable[KafkaRecord]") -> Mapping[int, TraceContext]:
    """The sampled spans that records carry, by id of the record object."""
    found: dict[int, TraceContext] = {}
    for record in records:
        value = None
        for name, content in record.headers:
            if name == TRACEPARENT:
                value = content
        if value is not None and not value.endswith(UNSAMPLED):
            context = parsed(value)
            if context is not None and context.sampled:
                found[id(record)] = context
    return found


def trace_headers(headers: "Headers") -> "Headers":
    """The headers that carry the trace, for every record made from the one that has them."""
    return [
        (name, value) for name, value in headers if name in TRACE_HEADERS and len(value or b"") <= LARGEST_TRACE_HEADER
    ]


def continued(headers: "Headers", context: TraceContext) -> "Headers":
    """The headers with this context instead of the one that they carry."""
    return [*(pair for pair in headers if pair[0] != TRACEPARENT), (TRACEPARENT, context.traceparent)]


def trace_id_of(record: "KafkaRecord") -> int:
    """The trace of a record that carries none. Every worker that reads the record computes the same."""
    return int.from_bytes(trace_digest(record)[:16]) or 1


def trace_digest(record: "KafkaRecord") -> bytes:
    """The digest that a record's trace id is the start of."""
    name = b"%s\0%d\0%d\0%d" % (record.topic.encode(), record.partition, record.offset, record.timestamp)
    return hashlib.sha256(name).digest()


def new_trace(flags: int = 0) -> TraceContext:
    """A span of a new trace."""
    return TraceContext(random.getrandbits(128) or 1, new_span_id(), flags)


def new_span_id() -> int:
    """A random id that is not 0."""
    return random.getrandbits(64) or 1
