"""The spans of a program that sends records and reads none: `headrace publish`, a replay, an edit."""

import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Literal, NamedTuple

from headrace_runtime.head_sampler import HeadSampler, head_sampler
from headrace_runtime.publisher import Headers, Outgoing
from headrace_runtime.trace_context import SAMPLED, TraceContext, carried, continued, new_trace
from headrace_worker.settings import TelemetrySettings

if TYPE_CHECKING:
    from headrace_runtime.traces import SentSpanExport

Operation = Literal["publish", "replay", "edit"]
EXPORT_EVERY = 1.0
"""Seconds."""


class Sent(NamedTuple):
    """A record that was sent in a span of its own. Times are nanoseconds since 1970."""

    topic: str
    key: bytes | None
    span: TraceContext
    parent: TraceContext | None
    started: int
    ended: int = 0


class SentSpans:
    """Gives each record that is sent its trace. Without an `export` it decides about new traces and makes no span."""

    def __init__(self, sampler: HeadSampler, export: "SentSpanExport | None") -> None:
        self._sampler = sampler
        self._export = export
        self._ended: list[Sent] = []
        self._exported = time.monotonic()

    def start(self) -> TraceContext:
        """The start of a new trace."""
        trace = new_trace()
        return trace._replace(flags=self._sampler.flags(trace.trace_id))

    def begin(self, topic: str, key: bytes | None, span: TraceContext) -> Sent | None:
        """A record is sent at the start of this trace. Returns what `end` takes; None if there is no span."""
        if self._export is None or not span.sampled:
            return None
        return Sent(topic, key, span, None, time.time_ns())

    def continued(self, record: Outgoing, headers: Headers) -> tuple[Outgoing, Sent | None]:
        """The record with a span of its own in the trace that these headers carry; with that trace as it is if it is
        not sampled, or if spans have no receiver.
        """
        parent = carried(headers)
        if parent is None or (self._export is None and carried(record.headers) == parent):
            return record, None
        if self._export is None or not self._sampler.continues(parent):
            return record._replace(headers=continued(record.headers, parent)), None
        span = parent.child()._replace(flags=parent.flags | SAMPLED)
        sent = Sent(record.topic, record.key, span, parent, time.time_ns())
        return record._replace(headers=continued(record.headers, span)), sent

    def end(self, sent: Sent | None) -> None:
        """The record is acknowledged now."""
        if sent is not None:
            self._ended.append(sent._replace(ended=time.time_ns()))

    async def export(self) -> None:
        """Sends the spans that have ended, once a second at most."""
        if self._ended and time.monotonic() - self._exported >= EXPORT_EVERY:
            await self.export_now()

    async def export_now(self) -> None:
        """Sends the spans that have ended."""
        if self._export is not None and self._ended:
            ended, self._ended = self._ended, []
            self._exported = time.monotonic()
            await self._export.put(ended)


@asynccontextmanager
async def open_sent_spans(service: str, operation: Operation, settings: TelemetrySettings) -> AsyncIterator[SentSpans]:
    """The spans of a program. `service`: its name, without headrace-. At the end all spans are sent, within a limited
    time.
    """
    sampler = head_sampler(os.environ)
    if settings.otlp_endpoint is None:
        yield SentSpans(sampler, None)
        return
    from headrace_runtime.otlp_export import otlp_exporter
    from headrace_runtime.traces import SentSpanExport

    export = SentSpanExport(operation, otlp_exporter(service, settings))
    spans = SentSpans(sampler, export)
    try:
        yield spans
    finally:
        await spans.export_now()
        await export.close()
