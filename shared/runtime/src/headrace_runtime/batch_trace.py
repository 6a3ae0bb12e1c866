"""Which changes of a batch have spans, and in which traces.

The ids of a span are chosen when the batch arrives, because records made from a change carry them. The span is built
when the batch has ended: a batch without a sampled change costs one look at the headers of its records.
"""

from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, runtime_checkable

from headrace_runtime.answers import Result
from headrace_runtime.decoder import Decoded, Ignored, KafkaRecord, Undecoded
from headrace_runtime.head_sampler import HeadSampler
from headrace_runtime.origin import carried_publication
from headrace_runtime.timeline import Timeline
from headrace_runtime.trace_context import (
    SAMPLED,
    TRACEPARENT,
    UNSAMPLED,
    TraceContext,
    carried,
    continued,
    new_trace,
    parsed,
    trace_id_of,
)
from headrace_schemas.headers import PUBLISHED_AT
from headrace_schemas.receipts import Receipt
from headrace_worker.stage import Unavailable

MOST_UNSAMPLED = 100
"""Changes of one batch that are exported only because they are slow or were tried again. After an outage every change
is slow; the batch span has the number of the others. Rejected changes and conflicts are exported without a limit.
"""

NEVER = b"9" * 13
"""A time after every publication, milliseconds since 1970."""

Continue = Callable[[Receipt], TraceContext]


@runtime_checkable
class ReportsChanges(Protocol):
    """A record that reports on many changes, each with a trace of its own. It is in no trace itself."""

    def continue_traces(self, continue_trace: Continue) -> None:
        """Calls the function for each reported change that carries a trace and that the stage takes further, and keeps
        the returned context for what is made from that change."""
        ...


@dataclass(slots=True)
class Traced:
    """A change whose spans are exported: its record, its span, and the span before it; `receipt`: the reported change
    in a record that reports on many.
    """

    record: KafkaRecord
    span: TraceContext
    parent: TraceContext | None
    receipt: Receipt | None = None


@dataclass(slots=True)
class EndedBatch:
    """A batch with what its spans are made from. `results`: by id of the record object, those that are known.

    `failure`: why the batch is given back, if it is. `ended`: nanoseconds since 1970. `left_out`: the number of slow or
    repeated changes that are not exported.
    """

    group: str
    timeline: Timeline
    records: int
    span: TraceContext
    traced: Sequence[Traced]
    results: Mapping[int, Result]
    failure: Unavailable | None
    ended: int
    left_out: int


Export = Callable[[EndedBatch], Awaitable[None]]
"""Makes the spans of a batch and sends them. Raises nothing."""


@dataclass(frozen=True, slots=True)
class BatchTraces:
    """Follows the batches of one consumer group. `reporting`: its topics whose records report on many changes.

    `slow_after`: seconds from the publication of a change to its end after which it is exported in any case.
    """

    group: str
    sampler: HeadSampler
    export: Export
    slow_after: float
    reporting: frozenset[str] = frozenset()

    def begin(self, records: Sequence[KafkaRecord], timeline: Timeline) -> "BatchTrace":
        """A batch has arrived. Its records, in `BatchTrace.records`, carry the spans of this worker if they are
        sampled: everything made from them continues from there.
        """
        batch = BatchTrace(self, timeline, list(records))
        parent_based, starts, reporting = self.sampler.parent_based, self.sampler.starts_at, self.reporting
        never = self.sampler.bound == 0 and not parent_based
        oldest, header = _now_ms(timeline), NEVER
        for index, record in enumerate(records):
            if record.timestamp < oldest:
                oldest = record.timestamp
            value = None
            for name, content in record.headers:
                if name == TRACEPARENT:
                    value = content
                elif name == PUBLISHED_AT and content is not None and content < header and len(content) == len(NEVER):
                    header = content
            if value is not None:
                if never or (parent_based and value.endswith(UNSAMPLED)):
                    continue
                if (parent := parsed(value)) is not None:
                    if self.sampler.continues(parent):
                        batch.carry(index, parent)
                    continue
            if record.topic not in reporting and starts(record):
                batch.carry(index, None)
        batch.oldest = min(oldest, int(header) if header.isdigit() else oldest)
        return batch


@dataclass(slots=True)
class BatchTrace:
    """One batch on its way. `records`: as the worker takes them further. `oldest`: publication of the oldest change,
    milliseconds since 1970.
    """

    traces: BatchTraces
    timeline: Timeline
    records: list[KafkaRecord]
    oldest: int = 0
    traced: list[Traced] = field(default_factory=list)
    spans: dict[int, TraceContext] = field(default_factory=dict)

    def carry(self, index: int, parent: TraceContext | None) -> None:
        """A record is sampled: from here on it carries a new span of its trace."""
        span = _span(self.records[index], parent)
        record = _with_headers(self.records[index], span)
        self.records[index] = record
        self.traced.append(Traced(record, span, parent))
        self.spans[id(record)] = span

    def span_of(self, record: KafkaRecord) -> TraceContext:
        """The span of a record that failed. One that is not sampled gets a span here, for the export only: what is made
        from it stays in a trace without spans.
        """
        span = self.spans.get(id(record))
        return span if span is not None else self._add(record)

    def _add(self, record: KafkaRecord) -> TraceContext:
        parent = carried(record.headers)
        span = _span(record, parent)
        self.traced.append(Traced(record, span, parent))
        self.spans[id(record)] = span
        return span

    def decoded(self, read: Iterable[Decoded | Undecoded | Ignored]) -> None:
        """Continues the traces of the changes that records of this batch report on."""
        if not self.traces.reporting:
            return
        for one in read:
            if isinstance(one, Decoded) and isinstance(one.change, ReportsChanges):
                self._continue_reported(one.record, one.change)

    def _continue_reported(self, record: KafkaRecord, reports: ReportsChanges) -> None:
        def continue_trace(receipt: Receipt) -> TraceContext:
            parent = parsed((receipt.traceparent or "").encode())
            if parent is None or not self.traces.sampler.continues(parent):
                # Without a header the next worker would decide again.
                return parent or new_trace()
            span = parent.child()
            self.traced.append(Traced(record, span, parent, receipt))
            return span

        reports.continue_traces(continue_trace)

    async def export(self, results: Sequence[Result], ended: int, failure: Unavailable | None = None) -> None:
        """The batch has ended. Exports the changes that have spans: the sampled ones, those for which `span_of` was
        asked, and the slow and repeated ones up to a limit.
        """
        left_out = 0
        if not self.traces.reporting:
            others = [one for one in self._slow_or_retried(ended, failure) if id(one) not in self.spans]
            left_out = max(0, len(others) - MOST_UNSAMPLED)
            for record in others[:MOST_UNSAMPLED]:
                self._add(record)
        if not self.traced:
            return
        wanted = {id(one.record) for one in self.traced}
        batch = EndedBatch(
            group=self.traces.group,
            timeline=self.timeline,
            records=len(self.records),
            span=new_trace(SAMPLED),
            traced=self.traced,
            results={at: one for one in results if (at := id(one.record)) in wanted},
            failure=failure,
            ended=ended,
            left_out=left_out,
        )
        await self.traces.export(batch)

    def _slow_or_retried(self, ended: int, failure: Unavailable | None) -> Iterator[KafkaRecord]:
        """Each once."""
        if failure is not None:
            yield from self.records
            return
        slow = ended / 1e6 - self.oldest > self.traces.slow_after * 1000
        if not slow and not any(attempt.failure for attempt in self.timeline.attempts):
            return
        again = {id(one.record) for attempt in self.timeline.attempts if attempt.failure for one in attempt.records}
        limit = ended / 1e6 - self.traces.slow_after * 1000
        for record in self.records:
            if id(record) in again or _published_at(record) < limit:
                yield record


def _published_at(record: KafkaRecord) -> int:
    """The publication of the change. Its kind is not known here: a record without the header counts by its own time."""
    published = carried_publication(record)
    return record.timestamp if published is None else published


def _span(record: KafkaRecord, parent: TraceContext | None) -> TraceContext:
    """A new span that is exported, in the trace of the record."""
    start = parent or TraceContext(trace_id_of(record), 0)
    return start.child()._replace(flags=start.flags | SAMPLED)


def _with_headers(record: Any, span: TraceContext) -> KafkaRecord:
    carrying: KafkaRecord = replace(record, headers=tuple(continued(record.headers, span)))
    return carrying


def _now_ms(timeline: Timeline) -> int:
    return timeline.polled // 1_000_000
