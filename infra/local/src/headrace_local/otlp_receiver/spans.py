"""A bounded file with the newest spans."""

import json
import sqlite3
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

LIMIT = 200_000
"""Spans that are kept; older ones are removed."""

Json = dict[str, Any]


class SpanFile:
    """Spans in an SQLite file. All methods may be called from several threads. `limit`: how many spans are kept."""

    def __init__(self, path: Path, limit: int = LIMIT) -> None:
        self._limit = limit
        self._lock = threading.Lock()
        self._database = sqlite3.connect(path, check_same_thread=False)
        # A crash of the machine may lose the last spans, which is cheaper than to wait for the disk for each request.
        self._database.execute("PRAGMA synchronous = OFF")
        self._database.execute("PRAGMA journal_mode = WAL")
        # AUTOINCREMENT: the newest number also counts the spans that were removed.
        self._database.execute(
            "CREATE TABLE IF NOT EXISTS spans (number INTEGER PRIMARY KEY AUTOINCREMENT, trace TEXT, span TEXT)"
        )
        self._database.execute("CREATE INDEX IF NOT EXISTS spans_by_trace ON spans (trace)")

    def add(self, request: ExportTraceServiceRequest) -> None:
        """Keeps the spans of a request, and removes the oldest ones above the limit."""
        rows = [(span["trace_id"], json.dumps(span)) for span in spans_of(request)]
        with self._lock, self._database:
            self._database.executemany("INSERT INTO spans (trace, span) VALUES (?, ?)", rows)
            self._database.execute(
                "DELETE FROM spans WHERE number <= (SELECT max(number) FROM spans) - ?", (self._limit,)
            )

    def trace(self, trace_id: str) -> list[Json]:
        """The kept spans of a trace, by their start."""
        with self._lock:
            rows = self._database.execute("SELECT span FROM spans WHERE trace = ?", (trace_id,)).fetchall()
        return sorted((json.loads(span) for (span,) in rows), key=lambda span: int(span["start_ns"]))

    def counts(self) -> Json:
        """`spans` and `traces` that are kept, `received` since the file was made, and the `limit`."""
        with self._lock:
            spans, traces, received = self._database.execute(
                "SELECT count(*), count(DISTINCT trace), coalesce(max(number), 0) FROM spans"
            ).fetchone()
        return {"spans": spans, "traces": traces, "received": received, "limit": self._limit}

    def close(self) -> None:
        with self._lock:
            self._database.close()


def spans_of(request: ExportTraceServiceRequest) -> Iterator[Json]:
    """Each span of a request as JSON, with its resource's attributes. Ids are in hex, times nanoseconds since 1970."""
    for resource in request.resource_spans:
        attributes = _attributes(resource.resource.attributes)
        for scope in resource.scope_spans:
            for span in scope.spans:
                yield _span(span) | {"resource": attributes, "scope": scope.scope.name}


def _span(span: Span) -> Json:
    return {
        "trace_id": span.trace_id.hex(),
        "span_id": span.span_id.hex(),
        "parent_span_id": span.parent_span_id.hex() or None,
        "name": span.name,
        "kind": Span.SpanKind.Name(span.kind).removeprefix("SPAN_KIND_"),
        "start_ns": span.start_time_unix_nano,
        "end_ns": span.end_time_unix_nano,
        "status": Status.StatusCode.Name(span.status.code).removeprefix("STATUS_CODE_"),
        "status_message": span.status.message,
        "attributes": _attributes(span.attributes),
        "links": [
            {
                "trace_id": link.trace_id.hex(),
                "span_id": link.span_id.hex(),
                "attributes": _attributes(link.attributes),
            }
            for link in span.links
        ],
        "events": [
            {"name": event.name, "time_ns": event.time_unix_nano, "attributes": _attributes(event.attributes)}
            for event in span.events
        ],
    }


def _attributes(pairs: Iterable[KeyValue]) -> Json:
    return {pair.key: _value(pair.value) for pair in pairs}


def _value(value: AnyValue) -> Any:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [_value(one) for one in value.array_value.values]
    if kind == "kvlist_value":
        return _attributes(value.kvlist_value.values)
    if kind == "bytes_value":
        return value.bytes_value.hex()
    return None if kind is None else getattr(value, kind)
