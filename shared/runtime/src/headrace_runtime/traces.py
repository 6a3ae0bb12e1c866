"""The spans of a worker, and of a program that sends records, on their way to an OTLP endpoint."""

import logging
import os
from collections.abc import Callable, Collection, Sequence

import structlog

from headrace_runtime.batch_spans import LARGEST_KEY, BatchSpans
from headrace_runtime.batch_trace import BatchTraces, EndedBatch
from headrace_runtime.head_sampler import head_sampler
from headrace_runtime.sent_spans import Operation, Sent
from headrace_runtime.span_encoding import Value, attributes, body, span
from headrace_runtime.span_queue import Exporter, SpanQueue
from headrace_worker.settings import TelemetrySettings
from headrace_worker.worker import Worker

log = structlog.get_logger(__name__)

Counted = Callable[[int], object]
"""Gets the number of spans that are lost, or of changes that are left out, each time that some are."""


class Traces:
    """Makes the spans of one worker and sends them with `exporter`. `dead_topic`: the topic of its dead letters."""

    def __init__(
        self,
        worker: Worker,
        settings: TelemetrySettings,
        dead_topic: str,
        exporter: Exporter,
        on_dropped: Counted,
        on_left_out: Counted,
    ) -> None:
        self._spans = BatchSpans(worker, dead_topic)
        self._queue = SpanQueue(exporter, on_dropped)
        self._on_dropped = on_dropped
        self._on_left_out = on_left_out
        self._sampler = head_sampler(os.environ)
        self._slow_after = settings.slow_after

    def of(self, group: str, reporting: Collection[str] = ()) -> BatchTraces:
        """The traces of a consumer group. `reporting`: its topics whose records report on many changes."""
        return BatchTraces(group, self._sampler, self._export, self._slow_after, frozenset(reporting))

    async def close(self) -> None:
        """Sends the spans that are not sent yet, within a limited time."""
        await self._queue.close()

    async def _export(self, batch: EndedBatch) -> None:
        self._on_left_out(batch.left_out)
        try:
            await self._queue.put(self._spans.of(batch))
        except Exception as error:
            # A fault in a trace stops no record.
            log.error("spans_not_made", raised=type(error).__name__, exc_info=error)
            self._on_dropped(len(batch.traced))


class SentSpanExport:
    """Makes the spans of records that a program sends. Lost spans are reported once a minute on standard error."""

    def __init__(self, operation: Operation, exporter: Exporter) -> None:
        self._operation = operation
        self._queue = SpanQueue(exporter, lambda spans: None, _warn)

    async def put(self, ended: Sequence[Sent]) -> None:
        """Sends the spans of acknowledged records."""
        await self._queue.put(map(self._span, ended))

    async def close(self) -> None:
        """Sends the spans that are not sent yet, within a limited time."""
        await self._queue.close()

    def _span(self, sent: Sent) -> bytes:
        values: dict[str, Value] = {
            "messaging.system": "kafka",
            "messaging.operation.type": "send",
            "messaging.operation.name": self._operation,
            "messaging.destination.name": sent.topic,
        }
        if sent.key is not None:
            values["messaging.kafka.message.key"] = sent.key.decode(errors="replace")[:LARGEST_KEY]
        times = sent.started, sent.ended
        of_record = body(f"{self._operation} {sent.topic}", "producer", times, attributes(values))
        return span(sent.span, sent.parent, of_record)


def _warn(spans: int, why: str) -> None:
    logging.getLogger(__name__).warning("%d spans of traces are lost: %s", spans, why)
