"""Reports a worker's batches in its health, its metrics and its log."""

import traceback
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

import structlog
from prometheus_client.core import Exemplar

from headrace_runtime.answers import Answered, Result
from headrace_runtime.dead_letters import fingerprint
from headrace_runtime.decoder import KafkaRecord, position
from headrace_runtime.delays import Delays, delays, not_negative
from headrace_runtime.health import Health
from headrace_runtime.metrics import Metrics
from headrace_runtime.timeline import BatchStep, Timeline
from headrace_runtime.trace_context import NO_SPANS, TraceContext, carried
from headrace_schemas.fields import RecordKind
from headrace_schemas.receipts import ReceiptOutcome
from headrace_worker.stage import Unavailable
from headrace_worker.worker import Step

log = structlog.get_logger(__name__)

SpanOf = Callable[[KafkaRecord], TraceContext | None]
"""The trace and the span of a record; None if it is in no trace."""


def span_before(record: KafkaRecord) -> TraceContext | None:
    """The span that the record carries: that of the step before, in a worker without traces."""
    return carried(record.headers)


class Reporter:
    """Reports the batches of one consumer group of a worker. `step`: what its stage does."""

    def __init__(self, worker: str, health: Health, metrics: Metrics, step: Step = "write") -> None:
        self._worker = worker
        self._health = health
        self._metrics = metrics
        self._step = step

    def unavailable(self, error: Unavailable) -> None:
        """An attempt failed because a store or the broker is unavailable; another attempt may follow."""
        self._health.beat()
        self._unavailable(error)
        self._metrics.unavailable.labels(error.store).inc()
        log.warning("store_unavailable", store=error.store, detail=error.detail, raised=_raised(error.__cause__))

    def retry(self, error: Unavailable) -> None:
        """Another attempt follows one that failed with this error."""
        self._metrics.retries.labels(error.store).inc()

    def given_back(self, error: Unavailable, records: int) -> None:
        """A batch goes back to Kafka uncommitted."""
        self._unavailable(error)
        log.warning("batch_given_back", store=error.store, records=records)

    def set_aside(self) -> None:
        """Every record of a batch belongs to a held topic: no batch waits for a store or the broker any more."""
        self._health.batch_problems_end()

    def settled(
        self,
        results: Sequence[Result],
        *,
        now: datetime,
        seconds: float,
        spans: Mapping[int, TraceContext] = NO_SPANS,
        span_of: SpanOf = span_before,
    ) -> None:
        """Every record of a batch is settled; `seconds`: how long the batch took.

        `spans`: of the sampled records, by id of the record object. `span_of`: the span of a record, which the log
        lines about it name.
        """
        found: dict[tuple[RecordKind, ReceiptOutcome], list[Result]] = {}
        for result in results:
            found.setdefault((result.kind, result.outcome), []).append(result)
        for (kind, outcome), alike in found.items():
            if outcome == "applied":
                self._applied(kind, alike, now, spans)
            elif outcome == "conflict":
                for result in alike:
                    self._conflict(result, _trace(span_of(result.record)))
            elif outcome == "dead":
                for result in alike:
                    self._dead(result, _trace(span_of(result.record)))
        self.counted({of: len(alike) for of, alike in found.items()}, now=now, seconds=seconds)

    def timed(self, records: Sequence[KafkaRecord], polled: int, seconds: Mapping[BatchStep, float]) -> None:
        """A batch is settled. `polled`: when its first step began, nanoseconds since 1970. `seconds`: of each step."""
        for step, of_step in seconds.items():
            self._metrics.stage_seconds.observe(step, [of_step])
        milliseconds = polled / 1e6
        queued = [(milliseconds - record.timestamp) / 1000 for record in records]
        self._metrics.stage_seconds.observe("queued", not_negative(queued))

    def steps(self, records: Sequence[KafkaRecord], timeline: Timeline) -> None:
        """The times of a settled batch."""
        self.timed(records, timeline.polled, timeline.seconds(self._step))

    def counted(self, outcomes: Mapping[tuple[str, str], int], *, now: datetime, seconds: float) -> None:
        """Every record of a batch is settled; `outcomes`: the number of records by kind and outcome."""
        for (kind, outcome), count in outcomes.items():
            self._metrics.records.labels(kind, outcome).inc(count)
        records = sum(outcomes.values())
        self._health.settled()
        self._metrics.last_settled.set(now.timestamp())
        self._metrics.batch_seconds.observe(seconds)
        self._metrics.batch_records.observe(records)
        log.info("batch_settled", records=records, seconds=round(seconds, 3))

    def _unavailable(self, error: Unavailable) -> None:
        self._health.problem("kafka" if error.store == "kafka" else "store", error.store, error.detail)

    def _applied(
        self, kind: RecordKind, applied: Sequence[Result], now: datetime, spans: Mapping[int, TraceContext]
    ) -> None:
        """Observes the delays. The example in each histogram is the oldest change that has a span."""
        traced = [one for one in applied if id(one.record) in spans] if spans else []
        oldest = min(traced, key=lambda one: one.record.timestamp, default=None)
        examples = delays(kind, [oldest], now) if oldest else Delays([], [])
        histograms = (self._metrics.delay, self._metrics.publication_delay)
        for histogram, seconds, of_oldest in zip(histograms, delays(kind, applied, now), examples, strict=True):
            if seconds:
                example = _example(oldest, of_oldest, spans) if oldest and of_oldest else None
                histogram.observe(kind, seconds, example)

    def _conflict(self, result: Result, trace: Mapping[str, str]) -> None:
        assert isinstance(result, Answered)
        self._metrics.conflicts.inc()
        topic, partition, offset = position(result.record)
        log.warning(
            "version_conflict",
            kind=result.kind,
            key=result.change.id,
            version=result.change.version,
            topic=topic,
            partition=partition,
            offset=offset,
            **trace,
        )

    def _dead(self, result: Result, trace: Mapping[str, str]) -> None:
        assert result.rejection is not None
        self._metrics.dead.labels(result.rejection.reason).inc()
        log.warning(
            "dead_letter",
            key=(result.record.key or b"").decode(errors="replace"),
            version=result.change.version if isinstance(result, Answered) else None,
            position="-".join(map(str, position(result.record))),
            reason=result.rejection.reason,
            fingerprint=fingerprint(self._worker, result.rejection),
            **trace,
        )


def _example(result: Result, seconds: list[float], spans: Mapping[int, TraceContext]) -> Exemplar:
    return Exemplar({"trace_id": f"{spans[id(result.record)].trace_id:032x}"}, seconds[0])


def _trace(context: TraceContext | None) -> dict[str, str]:
    return {"trace_id": f"{context.trace_id:032x}", "span_id": f"{context.span_id:016x}"} if context else {}


def _raised(error: BaseException | None) -> list[str]:
    """The error's type and where it was raised. Not its message: it may contain a payload."""
    if error is None:
        return []
    frames = traceback.extract_tb(error.__traceback__)
    return [type(error).__name__, *(f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames[-5:])]
