"""Every record counts once, also if it is delivered twice."""

from datetime import UTC, datetime, timedelta
from typing import Any

from headrace_demo.receipt_totals import ReceiptTotals
from headrace_schemas.receipts import Receipt, Receipts

START = datetime(2026, 1, 1, tzinfo=UTC)


def receipts(worker: str, *outcomes: tuple[int, Any], seconds: float = 1.0, topic: str = "products") -> Receipts:
    """Receipts of records at these offsets of one partition, applied `seconds` after they occurred."""
    return Receipts(
        worker=worker,
        applied_at=START + timedelta(seconds=seconds),
        receipts=[
            Receipt(topic=topic, partition=0, offset=offset, outcome=outcome, occurred_at=START)
            for offset, outcome in outcomes
        ],
    )


def test_a_redelivered_record_counts_once_with_its_first_outcome() -> None:
    totals = ReceiptTotals()
    totals.add(receipts("qdrant", (0, "applied"), (1, "applied"), seconds=1))
    totals.add(receipts("qdrant", (1, "superseded"), (2, "dead"), seconds=9))
    worker = totals.of("qdrant")
    assert dict(worker.outcomes) == {"applied": 2, "dead": 1}
    assert worker.consumed == 3
    assert list(worker.delays) == [1.0, 1.0]
    assert (worker.last_applied_at or START) - START == timedelta(seconds=9)


def test_one_offset_of_two_topics_is_two_records() -> None:
    totals = ReceiptTotals()
    totals.add(receipts("embed", (0, "applied")))
    totals.add(receipts("embed", (0, "applied"), topic="keywords"))
    assert dict(totals.of("embed").by_topic) == {"products": 1, "keywords": 1}


def test_each_worker_has_its_own_totals_and_those_of_an_unknown_one_are_empty() -> None:
    totals = ReceiptTotals()
    totals.add(receipts("embed", (0, "applied")))
    totals.add(receipts("qdrant", (0, "superseded")))
    assert totals.of("embed").outcomes["applied"] == 1
    assert totals.of("qdrant").outcomes["applied"] == 0
    assert totals.of("pgvector").consumed == 0


def test_only_applied_records_have_a_delay() -> None:
    totals = ReceiptTotals()
    totals.add(receipts("qdrant", (0, "superseded"), (1, "dead"), (2, "ignored"), (3, "applied"), seconds=2))
    assert list(totals.of("qdrant").delays) == [2.0]
