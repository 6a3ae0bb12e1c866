"""The spans of a batch that has ended: one of the batch, and of each traced change one with its steps as children.

Names and attributes follow OpenTelemetry's conventions for messaging and databases.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from headrace_runtime.answers import Answered, Result
from headrace_runtime.batch_trace import EndedBatch, Traced
from headrace_runtime.dead_letters import fingerprint
from headrace_runtime.decoder import KafkaRecord, Undecoded
from headrace_runtime.span_encoding import Kind, Value, attribute, attributes, body, span
from headrace_runtime.timeline import Publication
from headrace_runtime.trace_context import TRACESTATE, TraceContext, carried
from headrace_worker.stage import Output
from headrace_worker.worker import Worker

LARGEST_KEY = 256
"""Characters of a key in an attribute."""
HELD, GIVEN_BACK = "held", "given_back"
"""Outcomes of a change that is read again: its topic is held, or its batch is given back."""


@dataclass(frozen=True)
class BatchSpans:
    """Makes the spans of one worker, encoded. `dead_topic`: the topic of its dead letters."""

    worker: Worker
    dead_topic: str

    def of(self, batch: EndedBatch) -> Iterator[bytes]:
        """The spans of a batch, made one by one as they are taken."""
        yield self._of_batch(batch)
        steps = _Steps(batch, self)
        for one in batch.traced:
            yield from steps.of(one)

    def _of_batch(self, batch: EndedBatch) -> bytes:
        values: dict[str, Value] = {
            "messaging.system": "kafka",
            "messaging.operation.type": "process",
            "messaging.operation.name": "batch",
            "messaging.consumer.group.name": batch.group,
            "messaging.batch.message_count": batch.records,
        }
        if len(batch.timeline.attempts) > 1:
            values["headrace.attempt"] = len(batch.timeline.attempts)
        if batch.left_out:
            values["headrace.left_out"] = batch.left_out
        of_batch = body(
            f"batch {self.worker.name}",
            "consumer",
            (batch.timeline.polled, batch.ended),
            attributes(values),
            links=[one.span for one in batch.traced],
            error=str(batch.failure) if batch.failure else None,
        )
        return span(batch.span, None, of_batch)


class _Steps:
    """The spans of the changes of one batch."""

    def __init__(self, batch: EndedBatch, of: BatchSpans) -> None:
        self._batch = batch
        self._of = of
        wanted = {id(one.record) for one in batch.traced}
        self._attempts = [
            (attempt, {at for one in attempt.records if (at := id(one.record)) in wanted})
            for attempt in batch.timeline.attempts
        ]
        self._published = [(one, _by_owner(one)) for one in batch.timeline.publications]
        self._spans = {one.span.traceparent: one.span for one in batch.traced}
        self._children: dict[tuple[object, ...], bytes] = {}
        self._places: dict[tuple[str, int], bytes] = {}
        self._linked = any(output.also_from for one in batch.timeline.publications for _, output in one.outputs)

    def of(self, one: Traced) -> Iterator[bytes]:
        """The span of a change, and those of its steps."""
        batch, result = self._batch, self._batch.results.get(id(one.record))
        polled = batch.timeline.polled
        error = _error(result, batch)
        process = body(
            f"process {one.record.topic}",
            "consumer",
            (polled, batch.ended),
            self._attributes(one, result),
            links=[batch.span, *self._taken_further_by(one)],
            error=error,
            state=_state(one.record),
        )
        yield span(one.span, one.parent, process)
        yield self._child(one, "queued", (one.record.timestamp * 1_000_000, polled))
        if batch.timeline.decoded:
            failed = error if isinstance(result, Undecoded) else None
            yield self._child(one, "decode", (polled, batch.timeline.decoded), error=failed)
        yield from self._of_attempts(one, result, error)
        yield from self._of_publications(one, result)

    def _of_attempts(self, one: Traced, result: Result | None, error: str | None) -> Iterator[bytes]:
        database = self._of.worker.database
        mine = [attempt for attempt, records in self._attempts if id(one.record) in records]
        for number, attempt in enumerate(mine, start=1):
            last = number == len(mine)
            # An attempt that is not the last one of a change, or of a batch that is given back, did not answer for it.
            unanswered = attempt.failure if not last or result is None else None
            values: dict[str, Value] = {"headrace.attempt": number}
            if database:
                values |= {"db.system.name": database, "db.operation.batch.size": len(attempt.records)}
            yield self._child(
                one,
                self._of.worker.step,
                (attempt.started, attempt.ended),
                values,
                kind="client" if database else "internal",
                error=str(unanswered) if unanswered else error if last else None,
            )

    def _of_publications(self, one: Traced, result: Result | None) -> Iterator[bytes]:
        for publication, by_owner in self._published:
            if outputs := by_owner.get(_owner(one)):
                topics = ",".join(sorted({output.topic for output in outputs}))
                others = {other: None for output in outputs for other in output.also_from}
                yield self._child(
                    one,
                    "publish",
                    (publication.started, publication.ended),
                    _publishing(topics, len(outputs)),
                    kind="producer",
                    links=[context for other in others if (context := self._spans.get(other)) is not None],
                )
        if result is not None and result.rejection is not None:
            times = self._batch.timeline.answered, self._batch.timeline.settled
            yield self._child(one, "publish", times, _publishing(self._of.dead_topic, 1), kind="producer")

    def _taken_further_by(self, one: Traced) -> list[TraceContext]:
        """The changes whose traces continue with records that are made from this change as well."""
        if one.receipt is None or not self._linked:
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

    def _attributes(self, one: Traced, result: Result | None) -> bytes:
        record, receipt = one.record, one.receipt
        place = record.topic, record.partition
        if place not in self._places:
            self._places[place] = self._of_place(*place)
        parts = [
            self._places[place],
            attribute("messaging.kafka.offset", record.offset),
            attribute("headrace.outcome", _outcome(result, self._batch)),
        ]
        if receipt is not None:
            parts.append(attribute("messaging.kafka.message.key", str(receipt.id)))
            parts.append(attribute("headrace.kind", str(receipt.kind)))
            if receipt.version is not None:
                parts.append(attribute("headrace.version", receipt.version))
            return b"".join(parts)
        if record.key is not None:
            parts.append(attribute("messaging.kafka.message.key", record.key.decode(errors="replace")[:LARGEST_KEY]))
        if result is not None:
            parts.append(attribute("headrace.kind", result.kind))
            if isinstance(result, Answered):
                parts.append(attribute("headrace.version", result.change.version))
            if result.rejection is not None:
                parts.append(attribute("headrace.reason", result.rejection.reason))
                parts.append(attribute("headrace.fingerprint", fingerprint(self._of.worker.name, result.rejection)))
        return b"".join(parts)

    def _of_place(self, topic: str, partition: int) -> bytes:
        return attributes(
            {
                "messaging.system": "kafka",
                "messaging.operation.type": "process",
                "messaging.operation.name": "process",
                "messaging.destination.name": topic,
                "messaging.destination.partition.id": str(partition),
                "messaging.consumer.group.name": self._batch.group,
                "messaging.batch.message_count": self._batch.records,
            }
        )

    def _child(
        self,
        one: Traced,
        name: str,
        times: tuple[int, int],
        values: dict[str, Value] | None = None,
        *,
        kind: Kind = "internal",
        links: Iterable[TraceContext] = (),
        error: str | None = None,
    ) -> bytes:
        linked = tuple(links)
        key = name, times, tuple((values or {}).items()), kind, linked, error
        encoded = self._children.get(key)
        if encoded is None:
            encoded = body(name, kind, times, attributes(values or {}), links=linked, error=error)
            self._children[key] = encoded
        return span(one.span.child(), one.span, encoded)


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


def _publishing(topic: str, count: int) -> dict[str, Value]:
    values: dict[str, Value] = {
        "messaging.system": "kafka",
        "messaging.operation.type": "send",
        "messaging.operation.name": "publish",
        "messaging.destination.name": topic,
    }
    if count > 1:
        values["messaging.batch.message_count"] = count
    return values


def _outcome(result: Result | None, batch: EndedBatch) -> str:
    if result is not None:
        return result.outcome
    return GIVEN_BACK if batch.failure is not None else HELD


def _error(result: Result | None, batch: EndedBatch) -> str | None:
    """What went wrong with a change, in words without a value of it."""
    if result is not None and result.rejection is not None:
        return "/".join((result.rejection.reason, *result.rejection.cause))
    return str(batch.failure) if batch.failure is not None else None


def _state(record: KafkaRecord) -> str:
    """The header `tracestate`; several are one list."""
    values = [(value or b"").decode(errors="replace") for name, value in record.headers if name == TRACESTATE]
    return ",".join(values)
