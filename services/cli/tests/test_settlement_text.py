"""The sentences of `headrace wait` claim what is known."""

from datetime import UTC, datetime

import pytest

from headrace_cli.record_outcomes import Counts
from headrace_cli.settlement import Settlement
from headrace_cli.settlement_text import WaitReport, conclusion


def sentences(unanswered: int, complete: bool = True) -> str:
    counts = Counts("qdrant", "products", 3, 0, 0, {}, 0, unanswered, 0)
    found = Settlement(datetime.now(UTC), None, records=3 + unanswered, counts=[counts], complete=complete)
    return "\n".join(conclusion(WaitReport(found, [], [], None, "")))


def test_records_with_receipts_are_settled() -> None:
    assert "has settled its records" in sentences(0)
    assert "none is a dead letter" in sentences(0)


@pytest.mark.parametrize(("unanswered", "complete"), [(1, True), (0, False)])
def test_a_record_whose_receipt_is_not_known_is_not_called_settled(unanswered: int, complete: bool) -> None:
    said = sentences(unanswered, complete)
    assert "has committed its records" in said
    assert "settled" not in said
    assert "none is a dead letter" not in said
