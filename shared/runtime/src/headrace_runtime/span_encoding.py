"""Spans as OTLP's protobuf messages (opentelemetry/proto/trace/v1/trace.proto, of OTLP 1).

The SDK makes a span of objects and encodes it in some 50 µs, which is three times what a worker takes for a record. The
spans of a batch have most of their bytes in common: `body` encodes them once, and `span` adds the ids.
"""

import struct
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Literal

from headrace_runtime.trace_context import TraceContext

Kind = Literal["internal", "client", "producer", "consumer"]
KINDS: Mapping[Kind, int] = {"internal": 1, "client": 3, "producer": 4, "consumer": 5}
Value = str | int

_LENGTH = 2
"""The wire type of a field with a length: bytes, strings and messages."""
_ERROR = b"\x18\x02"
_HAS_IS_REMOTE, _IS_REMOTE = 0x100, 0x200
_times = struct.Struct("<BQBQ").pack
_flags = struct.Struct("<HI").pack


def span(context: TraceContext, parent: TraceContext | None, body: bytes) -> bytes:
    """A span, as a field of ScopeSpans. `body`: from `body`."""
    ids = b"\x0a\x10%b\x12\x08%b" % (context.trace_id.to_bytes(16), context.span_id.to_bytes(8))
    if parent is not None:
        ids += b"\x22\x08" + parent.span_id.to_bytes(8)
    # flags, field 16: those of the context, and that the parent may be in another process.
    flags = _flags(0x0185, context.flags | _HAS_IS_REMOTE | (_IS_REMOTE if parent is not None else 0))
    return _field(2, ids + flags + body)


def body(
    name: str,
    kind: Kind,
    times: tuple[int, int],
    attributes: bytes = b"",
    *,
    links: Iterable[TraceContext] = (),
    error: str | None = None,
    state: str = "",
) -> bytes:
    """Everything of a span but its ids. `times`: start and end, nanoseconds since 1970; `attributes`: from `attribute`,
    one after the other; `error`: what went wrong, if anything did; `state`: the header `tracestate`.
    """
    started, ended = times
    parts = [
        _field(5, name.encode()),
        b"\x30%c" % KINDS[kind],
        _times(0x39, min(started, ended), 0x41, ended),
        attributes,
        *map(_link, links),
    ]
    if state:
        parts.append(_field(3, state.encode()))
    if error is not None:
        parts.append(_field(15, _field(2, error.encode(errors="replace")) + _ERROR))
    return b"".join(parts)


def attribute(name: str, value: Value) -> bytes:
    """One attribute, as a field of a span."""
    content = _field(1, value.encode(errors="replace")) if isinstance(value, str) else b"\x18" + _varint(value)
    return _field(9, _key(name) + _field(2, content))


def attributes(values: Mapping[str, Value]) -> bytes:
    """Several attributes, as fields of a span."""
    return b"".join(attribute(name, value) for name, value in values.items())


def resource(values: Mapping[str, Value]) -> bytes:
    """What the spans of a process have in common, as a field of ResourceSpans."""
    pairs = (attribute(name, value) for name, value in values.items())
    # The attributes of a resource are field 1, those of a span field 9, of the same message.
    return _field(1, b"".join(b"\x0a" + pair[1:] for pair in pairs))


def request(of_resource: bytes, spans: Iterable[bytes]) -> bytes:
    """An ExportTraceServiceRequest with spans of one process. `of_resource`: from `resource`."""
    scope = _field(1, _field(1, b"headrace"))
    return _field(1, of_resource + _field(2, scope + b"".join(spans)))


def _link(context: TraceContext) -> bytes:
    ids = b"\x0a\x10%b\x12\x08%b" % (context.trace_id.to_bytes(16), context.span_id.to_bytes(8))
    return _field(13, ids + struct.pack("<BI", 0x35, context.flags | _HAS_IS_REMOTE | _IS_REMOTE))


@lru_cache(maxsize=256)
def _key(name: str) -> bytes:
    return _field(1, name.encode())


def _field(number: int, content: bytes) -> bytes:
    return b"%c%b%b" % (number << 3 | _LENGTH, _varint(len(content)), content)


def _varint(number: int) -> bytes:
    if number < 0x80:
        return b"%c" % number
    groups = []
    while number >= 0x80:
        groups.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*groups, number])
