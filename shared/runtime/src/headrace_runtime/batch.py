"""The path of a batch. The guarantees rest on the order of its steps:

1. decode each record alone; a record that does not decode becomes a dead letter, the others continue
2. and 3. apply the newest change of each entity; the older ones are superseded (a version that is taken back ends with
   its record: the changes before it are applied first)
4. publish dead letters and receipts, and wait until the brokers have acknowledged them
5. return; only then does FastStream commit the offsets

A crash between any two steps repeats work and loses nothing, because every write is fenced by its version. A topic that
is held leaves the batch before anything of it is published, and the consumer reads its records again.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime

from aiokafka import TopicPartition
from faststream.exceptions import NackMessage

from headrace_runtime.answers import Answered, Result
from headrace_runtime.assignment import Repair
from headrace_runtime.attempts import RetryLoop
from headrace_runtime.batch_trace import BatchTrace, BatchTraces
from headrace_runtime.breaker import Breaker
from headrace_runtime.decoder import Decoded, Decoder, Ignored, KafkaRecord, NewerSchema, Position, Undecoded, position
from headrace_runtime.forget_records import in_turn
from headrace_runtime.holds import Cause, Holds
from headrace_runtime.reporter import Reporter, span_before
from headrace_runtime.results import ResultPublisher
from headrace_runtime.timeline import Timeline
from headrace_runtime.trace_context import NO_SPANS, spans_before
from headrace_schemas.forget_record import Forget
from headrace_worker.stage import Unavailable

Read = Decoded | Undecoded | Ignored


class TopicsOpened(Exception):
    """The breaker opens for topics of the batch. `causes`: by topic."""

    def __init__(self, causes: Mapping[str, Cause]) -> None:
        super().__init__(", ".join(causes))
        self.causes = causes


class BatchPath:
    """Takes the batches of one consumer group through the five steps."""

    def __init__(
        self,
        decoder: Decoder,
        loop: RetryLoop,
        breaker: Breaker,
        publisher: ResultPublisher,
        repair: Repair,
        holds: Holds,
        reporter: Reporter,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        traces: BatchTraces | None = None,
    ) -> None:
        self._decoder = decoder
        self._loop = loop
        self._breaker = breaker
        self._publisher = publisher
        self._repair = repair
        self._holds = holds
        self._reporter = reporter
        self._now = now
        self._traces = traces

    async def handle(self, records: Sequence[KafkaRecord]) -> None:
        """Returns when every record is settled, or belongs to a held topic, and the batch may be committed.

        Raises NackMessage if the whole batch must be read again: a store or the broker is unavailable.
        """
        started = time.monotonic()
        try:
            if self._repair.due:
                await self._repair.publish()
            await self._settle(records, started)
        except Unavailable as error:
            self._reporter.given_back(error, len(records))
            raise NackMessage from error

    async def _settle(self, records: Sequence[KafkaRecord], started: float) -> None:
        timeline = Timeline(polled=time.time_ns())
        if self._traces is None:
            self._report(await self._results(records, timeline), records, timeline, started)
            return
        trace = self._traces.begin(records, timeline)
        try:
            results = await self._results(trace.records, timeline, trace)
        except Unavailable as error:
            await trace.export([], time.time_ns(), error)
            raise
        self._report(results, records, timeline, started, trace)
        await trace.export(results, timeline.settled)

    def _report(
        self,
        results: Sequence[Result],
        records: Sequence[KafkaRecord],
        timeline: Timeline,
        started: float,
        trace: BatchTrace | None = None,
    ) -> None:
        if results:
            now, seconds = self._now(), time.monotonic() - started
            spans, span_of = (trace.spans, trace.span_of) if trace is not None else (NO_SPANS, span_before)
            self._reporter.settled(results, now=now, seconds=seconds, spans=spans, span_of=span_of)
            self._reporter.steps(records, timeline)
        else:
            self._reporter.set_aside()

    async def _results(
        self, records: Sequence[KafkaRecord], timeline: Timeline, trace: BatchTrace | None = None
    ) -> list[Result]:
        read = self._decoded(records)
        if trace is not None:
            trace.decoded(read)
        timeline.decoded = time.time_ns()
        results = await self._answered(read, timeline)
        timeline.answered = time.time_ns()
        await self._publisher.publish(results, self._now(), trace.spans if trace is not None else spans_before(records))
        timeline.settled = time.time_ns()
        self._breaker.count(results)
        if self._holds.causes:
            self._holds.release({TopicPartition(*position(result.record)[:2]) for result in results})
        return results

    def _decoded(self, records: Sequence[KafkaRecord]) -> list[Read]:
        try:
            return [self._decoder.decode(record) for record in records]
        except NewerSchema as newer:
            of_topic = [record for record in records if record.topic == newer.topic]
            self._holds.hold(newer.topic, Cause(str(newer)), of_topic)
            return self._decoded([record for record in records if record.topic != newer.topic])

    async def _answered(self, read: list[Read], timeline: Timeline) -> list[Result]:
        """The results of the records, without those of a topic for which the breaker opens. Nothing of such a topic is
        published: the breaker is asked with every rejection that is known, before the outputs of the batch are.
        """
        rejected: dict[Position, Answered] = {}

        def check(more: Sequence[Answered]) -> None:
            rejected.update((position(one.record), one) for one in more)
            ahead = [rejected.get(position(one.record), one) for one in read]
            if causes := self._breaker.check(ahead):
                raise TopicsOpened(causes)

        try:
            if any(isinstance(one, Undecoded) for one in read):
                check([])
            results: list[Result] = [one for one in read if not isinstance(one, Decoded)]
            decoded = [one for one in read if isinstance(one, Decoded)]
            if not any(type(one.change) is Forget for one in decoded):
                return results + await self._loop.answers(decoded, check, timeline)
            for part in in_turn(decoded):
                results += await self._loop.answers(part, check, timeline)
            return results
        except TopicsOpened as opened:
            for topic, cause in opened.causes.items():
                self._holds.hold(topic, cause, [one.record for one in read if one.record.topic == topic])
            return await self._answered([one for one in read if one.record.topic not in opened.causes], timeline)
