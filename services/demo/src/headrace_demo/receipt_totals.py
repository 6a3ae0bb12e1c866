"""What became of every record, worker by worker, from the receipts.

A receipt names its record by topic, partition and offset, and each record counts once, with the first receipt that
tells of it: a redelivery after a crash changes nothing.
"""

import math
from array import array
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from headrace_clients.topic_reader import open_topics
from headrace_schemas.receipts import ReceiptOutcome, Receipts
from headrace_worker.settings import CommonSettings


@dataclass(slots=True)
class Account:
    """One worker's records. `delays`: for each applied one, the seconds from `occurred_at` to when it was applied."""

    outcomes: Counter[ReceiptOutcome] = field(default_factory=Counter)
    by_topic: Counter[str] = field(default_factory=Counter)
    delays: "array[float]" = field(default_factory=lambda: array("d"))
    first_applied_at: datetime | None = None
    last_applied_at: datetime | None = None
    _seen: dict[tuple[str, int], set[int]] = field(default_factory=dict)

    @property
    def consumed(self) -> int:
        """How many distinct records there are receipts for."""
        return self.outcomes.total()

    def _add(self, receipts: Receipts) -> None:
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


class Accounts:
    """Collects receipts into one Account for each worker."""

    def __init__(self) -> None:
        self.workers: dict[str, Account] = {}

    def add(self, receipts: Receipts) -> None:
        """Counts what these receipts tell that none before did."""
        self.workers.setdefault(receipts.worker, Account())._add(receipts)

    def of(self, worker: str) -> Account:
        """A worker's account; empty if it has sent no receipt."""
        return self.workers.get(worker, Account())


async def read_accounts(settings: CommonSettings) -> Accounts:
    """The accounts of every worker from all receipts that are on the topic now."""
    accounts = Accounts()
    async with open_topics(settings.kafka, [settings.topics.receipts]) as reader:
        async for record in reader.until_now():
            accounts.add(Receipts.model_validate_json(record.value))
    return accounts


def percentiles(values: Iterable[float], shares: Sequence[float]) -> list[float]:
    """For each share (0 to 1) the smallest value that at least that share of the values does not exceed; nearest rank.

    NaN where there are no values.
    """
    ordered = sorted(values)
    if not ordered:
        return [math.nan] * len(shares)
    return [ordered[max(math.ceil(share * len(ordered)), 1) - 1] for share in shares]
