"""What a batch leaves in Kafka: a dead letter for each rejected record, and receipts for all of its records."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from headrace_runtime.answers import Result
from headrace_runtime.dead_letters import dead_letter
from headrace_runtime.origin import published_at
from headrace_runtime.publisher import Outgoing, Publisher, RecordsRefused
from headrace_runtime.receipts import ReceiptFields, receipt_records, receipts_of
from headrace_runtime.trace_context import NO_SPANS, TraceContext
from headrace_schemas.topics import Topics


class ResultPublisher:
    """Publishes the results of one worker's batches. `receipts`: whether receipts are published as well.

    `max_record_bytes`: largest source record; a dead letter may be twice as large, a record of receipts as large.
    """

    def __init__(
        self, worker: str, topics: Topics, publisher: Publisher, *, max_record_bytes: int, receipts: bool
    ) -> None:
        self._worker = worker
        self._topics = topics
        self._publisher = publisher
        self._max_record_bytes = max_record_bytes
        self._receipts = receipts

    async def publish(
        self, results: Sequence[Result], now: datetime, spans: Mapping[int, TraceContext] = NO_SPANS
    ) -> None:
        """Returns when the brokers have acknowledged every dead letter and every receipt. Raises Unavailable.

        `spans`: of the sampled records, by id of the record object.
        """
        # Publish receipts after the dead letters they report.
        rejected = [result for result in results if result.rejection]
        try:
            await self._publisher.publish([self._dead_letter(result, now) for result in rejected])
        except RecordsRefused as refused:
            shorter = [self._dead_letter(rejected[index], now, whole=False) for index in refused.indexes]
            await self._publisher.publish(shorter)
        if self._receipts:
            await self._publish_receipts(receipts_of(results, spans), now)

    async def _publish_receipts(self, receipts: Sequence[ReceiptFields], now: datetime) -> None:
        """Publishes receipts in records that their topic accepts; those of a refused record again in smaller ones."""
        max_bytes = self._max_record_bytes
        while True:
            records = list(receipt_records(self._worker, self._topics.receipts, receipts, now, max_bytes=max_bytes))
            try:
                return await self._publisher.publish(records)
            except RecordsRefused:
                if len(records) == len(receipts):
                    raise
                max_bytes //= 4

    def _dead_letter(self, result: Result, now: datetime, *, whole: bool = True) -> Outgoing:
        assert result.rejection is not None
        return dead_letter(
            self._worker,
            self._topics.dead(self._worker),
            result.record,
            result.rejection,
            now=now,
            max_bytes=2 * self._max_record_bytes,
            replayed=result.replayed,
            whole=whole,
            published_at=published_at(result.record, result.kind),
        )
