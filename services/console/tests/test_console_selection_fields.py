"""A selection can be converted to a link or a form and back, and be described in words."""

from datetime import UTC, datetime
from urllib.parse import parse_qsl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace_console.selection_fields import MAX_IDS, WrongSelection, described, query_of, selection_of
from headrace_letters.selection import STATUSES, Selection

words = st.text(st.characters(exclude_categories=["Cs"]), min_size=1).map(str.strip).filter(bool)
moments = st.datetimes(datetime(2020, 1, 1), datetime(2040, 1, 1), timezones=st.just(UTC))
selections = st.builds(
    Selection,
    worker=st.none() | words,
    reason=st.none() | words,
    fingerprint=st.none() | words,
    since=st.none() | moments,
    until=st.none() | moments,
    key=st.none() | st.binary(min_size=1),
    status=st.none() | st.lists(st.sampled_from(STATUSES), min_size=1, unique=True).map(tuple),
    ids=st.none() | st.lists(words, min_size=1, max_size=5, unique=True).map(tuple),
)


@given(selections)
def test_a_link_gives_back_its_selection(selection: Selection) -> None:
    assert selection_of(parse_qsl(query_of(selection, canary=10))) == selection


def test_empty_and_unknown_fields_are_ignored() -> None:
    assert selection_of([("worker", " "), ("csrf", "x"), ("canary", "5"), ("status", "")]) == Selection()


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ([("status", "dead")], "the status must be one of"),
        ([("since", "yesterday")], "2026-03-01T09:30"),
        ([("key", "0xzz")], "hexadecimal"),
        ([("id", str(number)) for number in range(MAX_IDS + 1)], "use the filter instead"),
    ],
)
def test_a_wrong_field_is_refused_with_the_reason(fields: list[tuple[str, str]], why: str) -> None:
    with pytest.raises(WrongSelection, match=why):
        selection_of(fields)


def test_a_time_without_a_zone_is_in_utc_and_a_key_may_be_text_or_hexadecimal() -> None:
    selection = selection_of([("since", "2026-03-01T09:30"), ("key", "SKU-1")])
    assert selection == Selection(since=datetime(2026, 3, 1, 9, 30, tzinfo=UTC), key=b"SKU-1")
    assert selection_of([("key", "0x00ff")]).key == b"\x00\xff"


def test_a_selection_is_described_in_words() -> None:
    chosen = Selection(worker="qdrant", key=b"\xff", status=("waiting", "parked"))
    assert described(chosen) == "worker qdrant, key 0xff, waiting or parked"
    assert described(Selection(ids=("a", "b"))) == "2 chosen letters"
    assert described(Selection()) == "all dead letters"
