"""Every record counts once, whatever is delivered twice."""

import math
from datetime import UTC, datetime, timedelta
from typing import Any

from headrace_demo.receipt_totals import Accounts, percentiles
from headrace_schemas.receipts import Receipt, Receipts

START = datetime(2026, 1, 1, tzinfo=UTC)


def receipts(worker: str, *told: tuple[int, Any], seconds: float = 1.0, topic: str = "products") -> Receipts:
    """Receipts of records at these offsets of one partition, applied `seconds` after they occurred."""
    return Receipts(
        worker=worker,
        applied_at=START + timedelta(seconds=seconds),
        receipts=[
            Receipt(topic=topic, partition=0, offset=offset, outcome=outcome, occurred_at=START)
            for offset, outcome in told
        ],
    )


def test_a_redelivered_record_counts_once_with_its_first_outcome() -> None:
    accounts = Accounts()
    accounts.add(receipts("qdrant", (0, "applied"), (1, "applied"), seconds=1))
    accounts.add(receipts("qdrant", (1, "superseded"), (2, "dead"), seconds=9))
    account = accounts.of("qdrant")
    assert dict(account.outcomes) == {"applied": 2, "dead": 1}
    assert account.consumed == 3
    assert list(account.delays) == [1.0, 1.0]
    assert (account.last_applied_at or START) - START == timedelta(seconds=9)


def test_one_offset_of_two_topics_is_two_records() -> None:
    accounts = Accounts()
    accounts.add(receipts("embed", (0, "applied")))
    accounts.add(receipts("embed", (0, "applied"), topic="keywords"))
    assert dict(accounts.of("embed").by_topic) == {"products": 1, "keywords": 1}


def test_each_worker_has_its_own_account_and_an_unknown_one_an_empty_one() -> None:
    accounts = Accounts()
    accounts.add(receipts("embed", (0, "applied")))
    accounts.add(receipts("qdrant", (0, "superseded")))
    assert accounts.of("embed").outcomes["applied"] == 1
    assert accounts.of("qdrant").outcomes["applied"] == 0
    assert accounts.of("pgvector").consumed == 0


def test_only_what_was_applied_has_a_delay() -> None:
    accounts = Accounts()
    accounts.add(receipts("qdrant", (0, "superseded"), (1, "dead"), (2, "ignored"), (3, "applied"), seconds=2))
    assert list(accounts.of("qdrant").delays) == [2.0]


def test_percentiles_are_values_that_occurred() -> None:
    values = [float(number) for number in range(100, 0, -1)]
    assert percentiles(values, (0.5, 0.95, 0.99, 1.0)) == [50.0, 95.0, 99.0, 100.0]
    assert percentiles([7.0], (0.5, 0.99)) == [7.0, 7.0]
    assert all(math.isnan(value) for value in percentiles([], (0.5, 0.99)))
