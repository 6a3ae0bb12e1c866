"""Which changes of a batch have spans, and in which traces.

The ids of a span are chosen when the batch arrives, because records made from a change carry them. The span is built
when the batch has ended: a batch without a sampled change costs one look at the headers of its records.
"""

from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, runtime_checkable

from headrace_runtime.answers import Answered, Result
from headrace_runtime.decoder import Decoded, Ignored, KafkaRecord, Undecoded
from headrace_runtime.head_sampler import HeadSampler
from headrace_runtime.timeline import Timeline
from headrace_runtime.trace_context import TRACEPARENT, TraceContext, carried, continued, new_trace, parsed, trace_id_of
from headrace_schemas.headers import PUBLISHED_AT
from headrace_schemas.receipts import Receipt
from headrace_worker.stage import Unavailable

MOST_UNSAMPLED = 100
"""Changes of one batch that are exported only because they are slow or were tried again. After an outage every change
is slow; the batch span has the number of the others. Rejected changes and conflicts are exported without a limit.
"""

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

    def spans(self) -> dict[int, TraceContext]:
        """The span of each change, by id of the record object."""
        return {id(one.record): one.span for one in self.traced}


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
        batch = BatchTrace(self, timeline)
        sampler, reporting = self.sampler, self.reporting
        oldest = records[0].timestamp if records else 0
        keep = batch.records.append
        for record in records:
            value, published = None, record.timestamp
            for name, content in record.headers:
                if name == TRACEPARENT:
                    value = content
                elif name == PUBLISHED_AT:
                    published = _milliseconds(content, published)
            if published < oldest:
                oldest = published
            if (parent := parsed(value) if value else None) is not None:
                sampled = sampler.continues(parent)
            elif record.topic in reporting:
                sampled = False
            else:
                sampled = sampler.starts(trace_id_of(record))
            keep(batch.traced_record(record, parent) if sampled else record)
        batch.oldest = oldest
        return batch


@dataclass(slots=True)
class BatchTrace:
    """One batch on its way. `records`: as the worker takes them further. `oldest`: publication of the oldest change,
    milliseconds since 1970.
    """

    traces: BatchTraces
    timeline: Timeline
    records: list[KafkaRecord] = field(default_factory=list)
    oldest: int = 0
    traced: list[Traced] = field(default_factory=list)

    @property
    def spans(self) -> dict[int, TraceContext]:
        """The spans of the sampled records, by id of the record object."""
        return {id(one.record): one.span for one in self.traced if one.receipt is None}

    def traced_record(self, record: KafkaRecord, parent: TraceContext | None) -> KafkaRecord:
        """The record, carrying a new span of its trace."""
        span = _span(record, parent, sampled=True)
        carrying: KafkaRecord = _with_headers(record, span)
        self.traced.append(Traced(carrying, span, parent))
        return carrying

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

    def end(self, results: Sequence[Result], ended: int, failure: Unavailable | None = None) -> EndedBatch | None:
        """Chooses the changes that have spans, the sampled ones and those that an operator looks for in any case.

        None if there are none.
        """
        refused = [
            one for one in results if one.rejection is not None or (type(one) is Answered and one.answer == "conflict")
        ]
        retried = failure is not None or any(attempt.failure for attempt in self.timeline.attempts)
        slow = ended / 1e6 - self.oldest > self.traces.slow_after * 1000
        if not (self.traced or refused or retried or slow):
            return None
        known = {id(one.record) for one in self.traced}
        found = list(self.traced)
        found += [_unsampled(one.record) for one in refused if id(one.record) not in known]
        left_out = 0
        if (retried or slow) and not self.traces.reporting:
            known = {id(one.record) for one in found}
            others = [one for one in self._slow_or_retried(ended, failure) if id(one) not in known]
            found += map(_unsampled, others[:MOST_UNSAMPLED])
            left_out = len(others[MOST_UNSAMPLED:])
        if not found:
            return None
        return EndedBatch(
            group=self.traces.group,
            timeline=self.timeline,
            records=len(self.records),
            span=new_trace(flags=1),
            traced=found,
            results={id(one.record): one for one in results},
            failure=failure,
            ended=ended,
            left_out=left_out,
        )

    def _slow_or_retried(self, ended: int, failure: Unavailable | None) -> Iterator[KafkaRecord]:
        """Each once."""
        if failure is not None:
            yield from self.records
            return
        again = {id(one.record) for attempt in self.timeline.attempts if attempt.failure for one in attempt.records}
        limit = ended / 1e6 - self.traces.slow_after * 1000
        for record in self.records:
            if id(record) in again or published_at(record) < limit:
                yield record


def published_at(record: KafkaRecord) -> int:
    """When the catalogue published the change, milliseconds since 1970."""
    value = next((value for name, value in reversed(record.headers) if name == PUBLISHED_AT), None)
    return _milliseconds(value, record.timestamp)


def _milliseconds(value: bytes | None, otherwise: int) -> int:
    return int(value) if value and len(value) < 20 and value.isdigit() else otherwise


def _unsampled(record: KafkaRecord) -> Traced:
    """A change whose trace is not sampled, for the export only: what is made from it stays in a trace without spans."""
    parent = carried(record.headers)
    return Traced(record, _span(record, parent, sampled=True), parent)


def _span(record: KafkaRecord, parent: TraceContext | None, *, sampled: bool) -> TraceContext:
    start = parent or TraceContext(trace_id_of(record), 0)
    return start.child()._replace(flags=start.flags | sampled)


def _with_headers(record: Any, span: TraceContext) -> Any:
    return replace(record, headers=tuple(continued(record.headers, span)))
