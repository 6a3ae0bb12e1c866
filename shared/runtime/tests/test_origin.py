"""The publication of a change is known in every step, whatever the headers and timestamps contain."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from harness.kafka_record import REPLAY_TOPIC, TIMESTAMP_MS, TOPIC, kafka_record
from harness.records import product

from headrace_runtime.answers import Answered
from headrace_runtime.delays import delays
from headrace_runtime.origin import occurred_at, published_at
from headrace_runtime.receipts import receipts_of
from headrace_schemas.changes import ProductChange
from headrace_schemas.fields import RecordKind
from headrace_schemas.headers import OCCURRED_AT, PUBLISHED_AT
from headrace_schemas.links import ProductLinks
from headrace_schemas.receipts import Receipt

NOW = datetime.fromtimestamp(TIMESTAMP_MS / 1000, UTC) + timedelta(seconds=9)
CHANGE = ProductChange.model_validate(product("p", 1) | {"occurred_at": NOW - timedelta(seconds=30)})
LINKS = ProductLinks(product_id="p", version=1, title="Bottle")


def carrying(**headers: bytes) -> Any:
    names = {"published": PUBLISHED_AT, "occurred": OCCURRED_AT}
    topic = "headrace.products.embedded.m" if headers else TOPIC
    return kafka_record(b"{}", topic=topic, headers=[(names[name], value) for name, value in headers.items()])


def test_a_source_record_was_published_at_its_own_timestamp_and_a_derived_one_at_that_of_its_source() -> None:
    assert published_at(carrying(), "product") == TIMESTAMP_MS
    assert published_at(carrying(published=b"1699999990000"), "product") == TIMESTAMP_MS - 10_000
    assert published_at(carrying(), "product_links") is None
    assert published_at(carrying(published=b"5"), "product_links") == 5


@pytest.mark.parametrize("topic", ["headrace.products", "shop-keywords", "keywords"])
def test_a_source_record_that_carries_another_publication_was_published_at_its_own_timestamp(topic: str) -> None:
    sent_again = kafka_record(b"{}", topic=topic, headers=[(PUBLISHED_AT, b"1699999990000")])
    assert published_at(sent_again, "product") == TIMESTAMP_MS


@pytest.mark.parametrize("value", [b"", b"-1", b"soon", b"1e9", "٣".encode(), b"9" * 15, b"9" * 5000])
def test_a_wrong_header_counts_as_none(value: bytes) -> None:
    assert published_at(carrying(published=value), "product") == TIMESTAMP_MS
    assert occurred_at(carrying(occurred=value)) is None


@pytest.mark.parametrize("timestamp", [-1, -(2**63), 2**63 - 1])
def test_a_receipt_leaves_out_a_timestamp_that_is_no_time(timestamp: int) -> None:
    record = kafka_record(b"{}", timestamp=timestamp)
    (receipt,) = receipts_of([Answered(record, CHANGE)])
    assert "published_at" not in receipt
    assert delays("product", [Answered(record, CHANGE)], NOW).published == []


def test_a_receipt_has_the_publication_of_the_change() -> None:
    (receipt,) = receipts_of([Answered(carrying(published=b"1699999990000"), CHANGE)])
    assert receipt["published_at"] == "2023-11-14T22:13:10.000+00:00"
    assert Receipt.model_validate(receipt).published_at == datetime.fromtimestamp(1_699_999_990, UTC)


def test_delays_count_from_the_occurrence_and_from_the_publication() -> None:
    found = delays("product", [Answered(carrying(published=b"1699999990000"), CHANGE)], NOW)
    assert found == ([30.0], [19.0])


def test_the_delay_of_a_link_set_counts_from_the_change_that_caused_it() -> None:
    occurred = (NOW - timedelta(seconds=25)).isoformat().encode()
    caused = Answered(carrying(published=b"1699999990000", occurred=occurred), LINKS)
    assert delays("product_links", [caused, Answered(carrying(), LINKS)], NOW) == ([25.0], [19.0])


def test_a_replay_has_no_delay() -> None:
    replay = Answered(kafka_record(b"{}", topic=REPLAY_TOPIC), CHANGE, True)
    assert delays("product", [replay], NOW) == ([], [])


@pytest.mark.parametrize("kind", ["relink", "sweep", "receipts"])
def test_a_request_has_no_delay_of_its_own(kind: RecordKind) -> None:
    assert delays(kind, [Answered(carrying(published=b"1699999990000"), LINKS)], NOW) == ([], [])


def test_a_time_in_the_future_counts_as_now() -> None:
    ahead = CHANGE.model_copy(update={"occurred_at": NOW + timedelta(hours=1)})
    assert delays("product", [Answered(carrying(published=b"1800000000000"), ahead)], NOW) == ([0.0], [0.0])
