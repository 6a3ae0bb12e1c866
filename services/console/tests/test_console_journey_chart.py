"""The timeline of an entity: a bar begins where the worker before it has ended, and nothing unknown has one."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from headrace_console.journey_chart import journey_chart
from headrace_console.settings import ConsoleOptions
from headrace_letters.journey import InStore, Journey, Passage, Sources
from headrace_letters.last_receipts import LastReceipts
from headrace_letters.newest_published import NewestPublished
from headrace_letters.store_answers import StoreAnswer

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
AFTER = {"embed": None, "qdrant": "embed", "pgvector": "embed"}


def passage(worker: str, milliseconds: int) -> Passage:
    return Passage(worker, "applied", 7, AT + timedelta(milliseconds=milliseconds), milliseconds)


def found(**changed: Any) -> Journey:
    sources = Sources(NewestPublished("products"), (), LastReceipts((), 0, None, True))
    fields: dict[str, Any] = {
        "kind": "product", "id": "p", "version": 7, "deleted": False, "occurred_at": AT - timedelta(seconds=2),
        "published_at": AT, "trace_id": None, "stores": [], "links": [], "after": AFTER, "sources": sources,
        "passages": [passage("embed", 40), passage("qdrant", 100)],
    }  # fmt: skip
    return Journey(**fields | changed)


def test_a_bar_reaches_from_the_worker_before_to_the_outcome() -> None:
    chart = journey_chart(found())
    occurred, published, embed, qdrant = chart.rows
    assert (chart.longest, occurred.word, published.word) == (100, "−2,000 ms", "0 ms")
    assert 'class="fill-resolved" x="0.0" y="0" width="400.0"' in chart.bar(embed)
    assert 'class="fill-resolved" x="400.0" y="0" width="600.0"' in chart.bar(qdrant)
    assert "fill" not in chart.bar(published)


def test_what_is_not_settled_or_not_known_has_words_and_no_bar() -> None:
    late = Passage("qdrant", missing="not settled; no copy of qdrant runs")
    unknown = Passage("pgvector", missing="not known: no receipt")
    stores = [
        InStore(StoreAnswer("qdrant", 6, searchable=6), "has version 6"),
        InStore(StoreAnswer("pgvector", problem="does not answer"), "does not answer"),
        InStore(StoreAnswer("elasticsearch", 7, searchable=7)),
    ]
    chart = journey_chart(found(published_at=None, occurred_at=None, passages=[late, unknown], stores=stores))
    assert [(row.name, row.word, row.look) for row in chart.rows] == [
        ("Occurred", "Not known", "unknown"), ("Published", "Not known", "unknown"),
        ("qdrant", "Not settled", "waiting"), ("pgvector", "Not known", "unknown"),
        ("Search in qdrant", "Not yet", "waiting"), ("Search in pgvector", "Not known", "unknown"),
        ("Search in elasticsearch", "Found now", "resolved"),
    ]  # fmt: skip
    assert all("fill" not in chart.bar(row) for row in chart.rows)


def test_a_trace_is_linked_only_with_a_trace_and_the_setting() -> None:
    options = ConsoleOptions(trace_url="https://traces.example/t/{trace_id}?x=1")
    assert options.trace_of("ab") == "https://traces.example/t/ab?x=1"
    assert (options.trace_of(None), ConsoleOptions().trace_of("ab")) == (None, None)
    for wrong in ("javascript:{trace_id}", "https://traces.example/", "traces/{trace_id}"):
        with pytest.raises(ValidationError, match="TRACE_URL"):
            ConsoleOptions(trace_url=wrong)
