"""What `headrace where` prints and its JSON, without servers."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from headrace_cli.journey_object import journey_object
from headrace_cli.journey_text import print_journey
from headrace_letters.journey import InStore, Journey, Passage, Sources
from headrace_letters.last_receipts import LastReceipts
from headrace_letters.newest_published import NewestPublished, PublishedVersion
from headrace_letters.store_answers import LinkedProducts, StoreAnswer

AT = datetime(2026, 3, 1, 12, 0, 0, 118_000, tzinfo=UTC)
RECORD = PublishedVersion(3, 40, 7, False, AT, AT - timedelta(seconds=2), None)


def found(*passages: Passage, **sources: object) -> Journey:
    read = Sources(NewestPublished("products", RECORD, 9, AT, True), (), LastReceipts((), 5, AT, True), **sources)  # type: ignore[arg-type]
    stores = [InStore(StoreAnswer("qdrant", 6, searchable=6), "has version 6"), InStore(StoreAnswer("pgvector", 7))]
    return Journey("keyword", "k\x1b[2J", 7, False, RECORD.occurred_at, AT, None, passages, stores, [], {}, read)


def test_everything_that_is_missing_is_printed_once_and_controls_no_terminal(
    capsys: pytest.CaptureFixture[str],
) -> None:
    print_journey(
        found(
            Passage("embed", "applied", 7, AT + timedelta(milliseconds=45), 45),
            Passage("qdrant", missing="not settled; no copy of qdrant runs; lag 120 records"),
            products=[LinkedProducts("link", count=1), LinkedProducts("pgvector", problem="does not answer")],
        )
    )
    printed = capsys.readouterr().out
    assert "\x1b" not in printed
    for words in (
        "published  2026-03-01 12:00:00.118 UTC  products 3:40", "applied      2026-03-01 12:00:00.163 UTC  45",
        "finds version 6", "links in link: 1 product is linked to it", "missing:\n",
        "  qdrant: not settled; no copy of qdrant runs; lag 120 records\n", "  links in pgvector: does not answer\n",
    ):  # fmt: skip
        assert words in printed, words
    assert "nothing is missing" not in printed


def test_the_json_has_times_in_iso_and_null_for_what_is_not_known() -> None:
    printed = json.loads(json.dumps(journey_object(found(Passage("embed", "applied", 7, AT, 45)))))
    assert (printed["settled"], printed["missing"]) == (False, ["qdrant: has version 6"])
    assert printed["published"]["newest"]["published_at"] == "2026-03-01T12:00:00.118000+00:00"
    assert printed["workers"][0] == {
        "worker": "embed", "outcome": "applied", "version": 7, "settled_at": "2026-03-01T12:00:00.118000+00:00",
        "milliseconds": 45, "missing": "", "letter": None,
    }  # fmt: skip
    assert [one["found_by_search"] for one in printed["stores"]] == [True, None]
