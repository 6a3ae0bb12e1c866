"""The stream of changes: its contents, and the state that follows from it."""

from collections import Counter
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from headrace_demo.catalogue.changes import changes, creations
from headrace_demo.catalogue.events import Change, Malformed
from headrace_demo.catalogue.files import read_events, write_catalogue
from headrace_demo.catalogue.malformed_records import DEFECTS
from headrace_demo.catalogue.newest_changes import Newest, newest_changes
from headrace_schemas.changes import CHANGES


def _stream(seed=7, products=60, keywords=20, count=600, malformed=30):
    return list(changes(seed, products=products, keywords=keywords, count=count, malformed=malformed))


def test_a_stream_has_exactly_the_requested_numbers():
    events = _stream(products=2000, keywords=500, count=500, malformed=20)
    assert len(events) == 500
    assert sum(isinstance(event, Malformed) for event in events) == 20
    causes = Counter(event.cause for event in events if isinstance(event, Change))
    assert causes.keys() == {"reprice", "reword", "delete", "recreate", "duplicate", "late"}
    assert min(causes.values()) >= 10


@given(st.integers(0, 10**6), st.integers(0, 6), st.integers(1, 4), st.integers(0, 120), st.data())
def test_a_stream_of_any_size_has_exactly_the_requested_numbers(seed, products, keywords, count, data):
    malformed = data.draw(st.integers(0, count))
    events = list(changes(seed, products=products, keywords=keywords, count=count, malformed=malformed))
    assert len(events) == count
    assert sum(isinstance(event, Malformed) for event in events) == malformed


def test_every_change_is_valid_and_carries_op_id_version_and_time():
    for event in _stream():
        if isinstance(event, Change):
            read = CHANGES[event.kind].model_validate_json(event.value)
            assert (read.id.encode(), read.version, read.deleted) == (event.key, event.version, event.deleted)


def test_every_malformed_record_is_one_that_no_worker_can_accept():
    malformed = [event for event in _stream(count=400, malformed=4 * len(DEFECTS)) if isinstance(event, Malformed)]
    assert {event.defect for event in malformed} == set(DEFECTS)
    assert {event.kind for event in malformed} == {"product", "keyword"}
    for event in malformed:
        if event.value is None:
            assert event.defect == "null_without_version"
            continue
        try:
            read = CHANGES[event.kind].model_validate_json(event.value)
        except ValidationError:
            assert event.defect != "id_is_not_the_key"
        else:
            assert read.id.encode() != event.key


def test_a_version_grows_with_every_new_change_of_an_id_deletes_included():
    highest = {(event.kind, event.id): 1 for event in creations(7, products=60, keywords=20)}
    for event in _stream():
        if isinstance(event, Malformed):
            continue
        key = (event.kind, event.id)
        if event.cause in ("late", "duplicate"):
            assert event.version <= highest[key]
        else:
            assert highest[key] < event.version <= highest[key] + 2
            highest[key] = event.version


@given(st.integers(0, 10**6), st.integers(1, 60))
def test_every_version_up_to_the_newest_is_sent_before_the_stream_ends(seed, count):
    sent = {event.version for event in changes(seed, products=1, keywords=0, count=count) if isinstance(event, Change)}
    assert sent == set(range(2, max(sent) + 1))


def test_an_older_version_may_come_after_a_delete():
    newest = {}
    after_delete = 0
    for event in _stream():
        if isinstance(event, Malformed):
            continue
        last = newest.get((event.kind, event.id))
        after_delete += event.cause == "late" and last is not None and last.deleted
        if last is None or event.version > last.version:
            newest[event.kind, event.id] = event
    assert after_delete >= 5


def test_a_price_change_leaves_the_texts_of_the_version_before_it():
    texts = {(event.kind, event.id): _texts(event) for event in creations(7, products=60, keywords=20)}
    seen = 0
    for event in _stream():
        if isinstance(event, Malformed) or event.cause in ("late", "duplicate") or event.deleted:
            continue
        if event.cause == "reprice" and (event.version - 1) == texts.get((event.kind, event.id, "version"), 1):
            assert _texts(event) == texts[event.kind, event.id]
            seen += 1
        texts[event.kind, event.id] = _texts(event)
        texts[event.kind, event.id, "version"] = event.version
    assert seen > 50


def _texts(event):
    return {name: event.record.get(name) for name in ("title", "description", "text", "attributes", "brand")}


def test_a_duplicate_is_the_same_change_and_a_late_one_an_older_version():
    sent = set()
    newest = {}
    for event in _stream():
        if isinstance(event, Malformed):
            continue
        if event.cause == "duplicate":
            assert event.value in sent
        elif event.cause == "late":
            assert event.version < newest[event.kind, event.id]
            assert event.value not in sent
        sent.add(event.value)
        newest[event.kind, event.id] = max(event.version, newest.get((event.kind, event.id), 0))


def test_deleted_entities_are_created_again_with_a_higher_version():
    dead = {}
    back = 0
    for event in _stream():
        if isinstance(event, Malformed):
            continue
        if event.cause == "recreate":
            assert event.version > dead.pop((event.kind, event.id))
            back += 1
        elif event.deleted:
            dead[event.kind, event.id] = event.version
            assert event.record.keys() == {"op", f"{event.kind}_id", "version", "occurred_at"}
    assert back > 10
    assert dead


def test_the_newest_change_has_the_highest_version_and_is_the_first_of_equal_versions():
    def change(version, op="upsert", title="a"):
        record = {"op": op, "product_id": "p", "version": version, "title": title}
        return Change("product", "reword", record)

    events = [change(2, title="first"), change(2, title="second"), change(1), Malformed("product", "empty", b"p", b"")]
    assert newest_changes(events) == {("product", "p"): Newest(2, False, events[0].record)}
    assert newest_changes([*events, change(3, "delete"), change(2)])["product", "p"][:2] == (3, True)


def test_the_newest_changes_include_every_entity_and_some_deletes():
    start = list(creations(7, products=60, keywords=20))
    after = newest_changes([*start, *_stream()])
    assert after.keys() == {(event.kind, event.id) for event in start}
    assert 0 < sum(newest.deleted for newest in after.values()) < 80


def test_times_are_fixed_without_a_clock_and_read_from_a_given_clock():
    assert [event.record["occurred_at"] for event in creations(7, products=2, keywords=0)] == [
        "2025-01-01T00:00:00.000000Z",
        "2025-01-01T00:00:00.001000Z",
    ]
    moment = datetime(2026, 5, 4, 3, 2, 1, 7, tzinfo=UTC)
    event = next(creations(7, products=1, keywords=0, clock=lambda: moment))
    assert event.record["occurred_at"] == "2026-05-04T03:02:01.000007Z"


def test_impossible_requests_are_refused_at_once():
    with pytest.raises(ValueError, match="cannot be malformed"):
        changes(7, products=1, keywords=1, count=3, malformed=4)
    with pytest.raises(ValueError, match="nothing to change"):
        changes(7, products=0, keywords=0, count=1)


def test_a_written_stream_is_read_unchanged(tmp_path):
    write_catalogue(tmp_path, 7, product_count=60, keyword_count=20, change_count=600, malformed=30)
    assert list(read_events(tmp_path / "changes.jsonl")) == _stream()
