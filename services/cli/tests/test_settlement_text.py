"""The sentences of `headrace wait` claim what is known."""

import json
from datetime import UTC, datetime

import pytest

from headrace_cli.record_outcomes import Counts
from headrace_cli.settlement import Settlement
from headrace_cli.settlement_text import WaitReport, as_object, complaints, conclusion
from headrace_cli.worker_states import WorkerState
from headrace_clients.worker_metrics import WorkerMetrics


def sentences(unanswered: int, complete: bool = True) -> str:
    counts = Counts("qdrant", "products", 3, 0, 0, {}, 0, unanswered, 0)
    found = Settlement(datetime.now(UTC), None, records=3 + unanswered, counts=[counts], complete=complete)
    return "\n".join(conclusion(WaitReport(found, [], [], None)))


def test_records_with_receipts_are_settled() -> None:
    assert "has settled its records" in sentences(0)
    assert "none is a dead letter" in sentences(0)


@pytest.mark.parametrize(("unanswered", "complete"), [(1, True), (0, False)])
def test_a_record_whose_receipt_is_not_known_is_not_called_settled(unanswered: int, complete: bool) -> None:
    said = sentences(unanswered, complete)
    assert "has committed its records" in said
    assert "settled" not in said
    assert "none is a dead letter" not in said


def test_what_is_down_is_named_once_also_if_nothing_was_open() -> None:
    down = WorkerState("link", "link", 0, 0, (), (), 0)
    metrics = WorkerMetrics(gauges={("headrace_lag_seconds", frozenset({("topic", "products")})): 1.5})
    waits = ("qdrant does not answer since 12:03:04 UTC",)
    away = WorkerState("qdrant", "qdrant", 1, 1, waits, (), 0, ("host",), (metrics,))
    well = WorkerState("embed", "embed", 1, 1, (), (), 0)
    report = WaitReport(
        Settlement(datetime.now(UTC), None), [down, down, away, well], [], None, {"qdrant": "qdrant: cannot be reached"}
    )
    assert list(complaints(report, 1.0)) == [
        "no copy of link runs",
        "qdrant: qdrant does not answer since 12:03:04 UTC",
        "the store of qdrant does not answer, so what a search in it finds is not known: qdrant: cannot be reached",
    ]
    assert not report.succeeded(allow_dead=True)
    assert json.loads(json.dumps(as_object(report)))["states"][2]["problems"] == list(waits)
    assert WaitReport(Settlement(datetime.now(UTC), None), [down], [], None).succeeded(allow_dead=False)
