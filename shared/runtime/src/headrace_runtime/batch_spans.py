"""The spans of a batch that has ended: one of the batch, and of each traced change one with its steps as children.

Names and attributes follow OpenTelemetry's conventions for messaging and databases.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags, TraceState

from headrace_runtime.answers import Answered, Result
from headrace_runtime.batch_trace import EndedBatch, Traced
from headrace_runtime.dead_letters import fingerprint
from headrace_runtime.decoder import KafkaRecord, Undecoded
from headrace_runtime.timeline import Publication
from headrace_runtime.trace_context import TRACESTATE, TraceContext, carried
from headrace_worker.stage import Output
from headrace_worker.worker import Worker

SCOPE = InstrumentationScope("headrace")
LARGEST_KEY = 256
"""Characters of a key in an attribute."""
HELD, GIVEN_BACK = "held", "given_back"
"""Outcomes of a change that is read again: its topic is held, or its batch is given back."""

Attributes = dict[str, Any]


def span(
    name: str,
    context: TraceContext,
    parent: TraceContext | None,
    times: tuple[int, int],
    attributes: Mapping[str, Any],
    *,
    resource: Resource,
    kind: SpanKind = SpanKind.INTERNAL,
    links: Iterable[TraceContext] = (),
    error: str | None = None,
    state: TraceState | None = None,
) -> ReadableSpan:
    """A span that has ended. `times`: start and end, nanoseconds since 1970. `error`: what went wrong, if anything did.

    It is not made by a tracer, which would start it now, choose its id and keep at most 128 links.
    """
    started, ended = times
    return ReadableSpan(
        name=name,
        context=_otel(context, remote=False, state=state),
        parent=_otel(parent, remote=True) if parent is not None else None,
        resource=resource,
        attributes=attributes,
        links=[Link(_otel(one, remote=True)) for one in links],
        kind=kind,
        status=Status(StatusCode.ERROR, error) if error is not None else Status(),
        start_time=min(started, ended),
        end_time=ended,
        instrumentation_scope=SCOPE,
    )


def _otel(context: TraceContext, *, remote: bool, state: TraceState | None = None) -> SpanContext:
    return SpanContext(context.trace_id, context.span_id, remote, TraceFlags(context.flags), state)


@dataclass(frozen=True)
class BatchSpans:
    """Makes the spans of one worker. `dead_topic`: the topic of its dead letters."""

    worker: Worker
    resource: Resource
    dead_topic: str

    def of(self, batch: EndedBatch) -> Iterator[ReadableSpan]:
        """The spans of a batch, made one by one as they are taken."""
        yield self._of_batch(batch)
        steps = _Steps(batch, self)
        for one in batch.traced:
            yield from steps.of(one)

    def _of_batch(self, batch: EndedBatch) -> ReadableSpan:
        attributes: Attributes = {
            "messaging.system": "kafka",
            "messaging.operation.type": "process",
            "messaging.operation.name": "batch",
            "messaging.consumer.group.name": batch.group,
            "messaging.batch.message_count": batch.records,
        }
        if len(batch.timeline.attempts) > 1:
            attributes["headrace.attempt"] = len(batch.timeline.attempts)
        if batch.left_out:
            attributes["headrace.left_out"] = batch.left_out
        return span(
            f"batch {self.worker.name}",
            batch.span,
            None,
            (batch.timeline.polled, batch.ended),
            attributes,
            resource=self.resource,
            kind=SpanKind.CONSUMER,
            links=[one.span for one in batch.traced],
            error=str(batch.failure) if batch.failure else None,
        )


class _Steps:
    """The spans of the changes of one batch."""

    def __init__(self, batch: EndedBatch, of: BatchSpans) -> None:
        self._batch = batch
        self._of = of
        self._attempts = [(attempt, {id(one.record) for one in attempt.records}) for attempt in batch.timeline.attempts]
        self._published = [(one, _by_owner(one)) for one in batch.timeline.publications]
        self._spans = {one.span.traceparent: one.span for one in batch.traced}

    def of(self, one: Traced) -> Iterator[ReadableSpan]:
        """The span of a change, and those of its steps."""
        batch, result = self._batch, self._batch.results.get(id(one.record))
        polled = batch.timeline.polled
        error = _error(result, batch)
        yield span(
            f"process {one.record.topic}",
            one.span,
            one.parent,
            (polled, batch.ended),
            self._attributes(one, result),
            resource=self._of.resource,
            kind=SpanKind.CONSUMER,
            links=[batch.span, *self._taken_further_by(one)],
            error=error,
            state=_state(one.record),
        )
        yield self._child(one, "queued", (one.record.timestamp * 1_000_000, polled))
        if batch.timeline.decoded:
            failed = error if isinstance(result, Undecoded) else None
            yield self._child(one, "decode", (polled, batch.timeline.decoded), error=failed)
        yield from self._of_attempts(one, result, error)
        yield from self._of_publications(one, result)

    def _of_attempts(self, one: Traced, result: Result | None, error: str | None) -> Iterator[ReadableSpan]:
        database = self._of.worker.database
        mine = [attempt for attempt, records in self._attempts if id(one.record) in records]
        for number, attempt in enumerate(mine, start=1):
            last = number == len(mine)
            # An attempt that is not the last one of a change, or of a batch that is given back, did not answer for it.
            unanswered = attempt.failure if not last or result is None else None
            attributes: Attributes = {"headrace.attempt": number}
            if database:
                attributes |= {"db.system.name": database, "db.operation.batch.size": len(attempt.records)}
            yield self._child(
                one,
                self._of.worker.step,
                (attempt.started, attempt.ended),
                attributes,
                kind=SpanKind.CLIENT if database else SpanKind.INTERNAL,
                error=str(unanswered) if unanswered else error if last else None,
            )

    def _of_publications(self, one: Traced, result: Result | None) -> Iterator[ReadableSpan]:
        for publication, by_owner in self._published:
            if outputs := by_owner.get(_owner(one)):
                topics = ",".join(sorted({output.topic for output in outputs}))
                others = {other: None for output in outputs for other in output.also_from}
                yield self._child(
                    one,
                    "publish",
                    (publication.started, publication.ended),
                    _publishing(topics, len(outputs)),
                    kind=SpanKind.PRODUCER,
                    links=[context for other in others if (context := self._spans.get(other)) is not None],
                )
        if result is not None and result.rejection is not None:
            times = self._batch.timeline.answered, self._batch.timeline.settled
            yield self._child(one, "publish", times, _publishing(self._of.dead_topic, 1), kind=SpanKind.PRODUCER)

    def _taken_further_by(self, one: Traced) -> list[TraceContext]:
        """The changes whose traces continue with records that are made from this change as well."""
        if one.receipt is None:
            return []
        mine = one.span.traceparent
        found = {
            carrier: None
            for _, by_owner in self._published
            for outputs in by_owner.values()
            for output in outputs
            if mine in output.also_from and (carrier := carried(output.headers)) is not None
        }
        return list(found)

    def _attributes(self, one: Traced, result: Result | None) -> Attributes:
        record = one.record
        attributes: Attributes = {
            "messaging.system": "kafka",
            "messaging.operation.type": "process",
            "messaging.operation.name": "process",
            "messaging.destination.name": record.topic,
            "messaging.destination.partition.id": str(record.partition),
            "messaging.kafka.offset": record.offset,
            "messaging.consumer.group.name": self._batch.group,
            "messaging.batch.message_count": self._batch.records,
            "headrace.outcome": _outcome(result, self._batch),
        }
        if record.key is not None:
            attributes["messaging.kafka.message.key"] = record.key.decode(errors="replace")[:LARGEST_KEY]
        if one.receipt is not None:
            attributes["headrace.kind"] = str(one.receipt.kind)
            attributes["messaging.kafka.message.key"] = str(one.receipt.id)
            if one.receipt.version is not None:
                attributes["headrace.version"] = one.receipt.version
        elif result is not None:
            attributes["headrace.kind"] = result.kind
            if isinstance(result, Answered):
                attributes["headrace.version"] = result.change.version
        if result is not None and result.rejection is not None:
            attributes["headrace.reason"] = result.rejection.reason
            attributes["headrace.fingerprint"] = fingerprint(self._of.worker.name, result.rejection)
        return attributes

    def _child(
        self,
        one: Traced,
        name: str,
        times: tuple[int, int],
        attributes: Mapping[str, Any] | None = None,
        *,
        kind: SpanKind = SpanKind.INTERNAL,
        links: Iterable[TraceContext] = (),
        error: str | None = None,
    ) -> ReadableSpan:
        own = attributes or {}
        resource = self._of.resource
        return span(
            name, one.span.child(), one.span, times, own, resource=resource, kind=kind, links=links, error=error
        )


def _by_owner(publication: Publication) -> dict[int, list[Output]]:
    """The outputs of each change. One with a `traceparent` of its own belongs to that span, any other to its record."""
    found: dict[int, list[Output]] = {}
    for decoded, output in publication.outputs:
        context = carried(output.headers)
        owner = context.span_id if context is not None else id(decoded.record)
        found.setdefault(owner, []).append(output)
    return found


def _owner(one: Traced) -> int:
    return one.span.span_id if one.receipt is not None else id(one.record)


def _publishing(topic: str, count: int) -> Attributes:
    attributes: Attributes = {
        "messaging.system": "kafka",
        "messaging.operation.type": "send",
        "messaging.operation.name": "publish",
        "messaging.destination.name": topic,
    }
    if count > 1:
        attributes["messaging.batch.message_count"] = count
    return attributes


def _outcome(result: Result | None, batch: EndedBatch) -> str:
    if result is not None:
        return result.outcome
    return GIVEN_BACK if batch.failure is not None else HELD


def _error(result: Result | None, batch: EndedBatch) -> str | None:
    """What went wrong with a change, in words without a value of it."""
    if result is not None and result.rejection is not None:
        return "/".join((result.rejection.reason, *result.rejection.cause))
    return str(batch.failure) if batch.failure is not None else None


def _state(record: KafkaRecord) -> TraceState | None:
    values = [(value or b"").decode(errors="replace") for name, value in record.headers if name == TRACESTATE]
    return TraceState.from_header(values) if values else None
