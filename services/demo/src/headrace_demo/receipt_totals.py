"""What became of every record, worker by worker, from the receipts.

A receipt names its record by topic, partition and offset. Each record counts once, with its first receipt, so a
redelivery after a crash changes nothing.
"""

from array import array
from collections import Counter
from datetime import datetime

from headrace_clients.topic_reader import open_topics
from headrace_schemas.receipts import ReceiptOutcome, Receipts
from headrace_worker.settings import CommonSettings


class WorkerTotals:
    """One worker's records. `delays`: for each applied record, the seconds from `occurred_at` to when it was applied.

    `outcomes`: number of records by outcome; `by_topic`: number of records by topic.
    """

    def __init__(self) -> None:
        self.outcomes: Counter[ReceiptOutcome] = Counter()
        self.by_topic: Counter[str] = Counter()
        self.delays = array("d")
        self.first_applied_at: datetime | None = None
        self.last_applied_at: datetime | None = None
        self._seen: dict[tuple[str, int], set[int]] = {}

    @property
    def consumed(self) -> int:
        """How many distinct records there are receipts for."""
        return self.outcomes.total()

    def add(self, receipts: Receipts) -> None:
        """Counts the records that no earlier receipt is about."""
        self.first_applied_at = min(self.first_applied_at or receipts.applied_at, receipts.applied_at)
        self.last_applied_at = max(self.last_applied_at or receipts.applied_at, receipts.applied_at)
        for receipt in receipts.receipts:
            seen = self._seen.setdefault((receipt.topic, receipt.partition), set())
            if receipt.offset in seen:
                continue
            seen.add(receipt.offset)
            self.outcomes[receipt.outcome] += 1
            self.by_topic[receipt.topic] += 1
            if receipt.outcome == "applied" and receipt.occurred_at is not None:
                self.delays.append((receipts.applied_at - receipt.occurred_at).total_seconds())


class ReceiptTotals:
    """The totals of every worker."""

    def __init__(self) -> None:
        self._workers: dict[str, WorkerTotals] = {}

    def add(self, receipts: Receipts) -> None:
        """Counts the records that no earlier receipt of the same worker is about."""
        self._workers.setdefault(receipts.worker, WorkerTotals()).add(receipts)

    def of(self, worker: str) -> WorkerTotals:
        """A worker's totals; all are 0 if it has published no receipt."""
        return self._workers.get(worker, WorkerTotals())


async def read_totals(settings: CommonSettings) -> ReceiptTotals:
    """The totals of every worker from all receipts that are on the topic now."""
    totals = ReceiptTotals()
    async with open_topics(settings.kafka, [settings.topics.receipts]) as reader:
        async for record in reader.until_now():
            totals.add(Receipts.model_validate_json(record.value))
    return totals
