"""One receipt for each record of a batch, in records that fit their topic."""

import json
from datetime import UTC, datetime
from typing import Any

from harness.kafka_record import REPLAY_TOPIC, TIMESTAMP_MS, TOPIC, kafka_record
from harness.records import product
from hypothesis import given
from hypothesis import strategies as st

from headrace_runtime import receipts as made
from headrace_runtime.answers import Answered, Result
from headrace_runtime.decoder import Ignored, Undecoded
from headrace_runtime.publisher import Outgoing
from headrace_runtime.receipts import receipt_records
from headrace_schemas import headers
from headrace_schemas.changes import ProductChange
from headrace_schemas.embedded import EmbeddedProduct, Embedding
from headrace_schemas.links import ProductLinks
from headrace_schemas.receipts import Receipt, Receipts
from headrace_worker.stage import Rejected

NOW = datetime(2026, 1, 2, tzinfo=UTC)
DEAD = Rejected("invalid", "d")


def answered(offset: int = 0, product_id: str = "p1", version: int = 1, **options: Any) -> Answered:
    value = product(product_id, version)
    return Answered(kafka_record(value, offset=offset), ProductChange.model_validate(value), **options)


def receipts_of(results: list[Result]) -> list[Receipt]:
    """The receipts as a reader parses them."""
    return [Receipt.model_validate(fields) for fields in made.receipts_of(results)]


def published(receipts: list[Receipt], max_bytes: int) -> tuple[list[Outgoing], list[Receipt]]:
    """The records, and the receipts that a reader parses from them."""
    records = list(
        receipt_records(
            "qdrant",
            "headrace.receipts",
            [one.model_dump(exclude_none=True) for one in receipts],
            NOW,
            max_bytes=max_bytes,
        )
    )
    read = [Receipts.model_validate_json(record.value or b"") for record in records]
    assert {(one.worker, one.applied_at) for one in read} <= {("qdrant", NOW)}
    return records, [receipt for one in read for receipt in one.receipts]


def test_every_record_of_a_batch_has_one_receipt_with_its_outcome() -> None:
    results: list[Result] = [
        answered(0),
        answered(1, answer="superseded"),
        answered(2, rejection=DEAD),
        Undecoded(kafka_record(b"{", offset=3), DEAD, "product"),
        Ignored(kafka_record(None, offset=4), "keyword"),
        answered(5, answer="conflict"),
    ]
    _, read = published(receipts_of(results), 10_000)
    assert sorted((one.offset, one.outcome) for one in read) == [
        (0, "applied"),
        (1, "superseded"),
        (2, "dead"),
        (3, "dead"),
        (4, "ignored"),
        (5, "conflict"),
    ]
    assert {(one.topic, one.partition) for one in read} == {(TOPIC, 0)}


def test_a_receipt_names_the_entity_where_the_record_could_be_read() -> None:
    first, second = receipts_of([answered(0, "p7", 3), Undecoded(kafka_record(b"{"), DEAD, "keyword")])
    assert (first.kind, first.id, first.version) == ("product", "p7", 3)
    assert first.occurred_at is not None
    assert (second.kind, second.id, second.version) == ("keyword", None, None)


def test_a_receipt_of_an_embedded_change_has_its_content_hash_and_model() -> None:
    embedding = Embedding(model="m1", content_hash="a" * 64, vector=b"\x00" * 8)
    change = EmbeddedProduct.model_validate(product("p1", 1) | {"embedding": embedding})
    (receipt,) = receipts_of([Answered(kafka_record(b"v"), change)])
    assert (receipt.content_hash, receipt.model) == ("a" * 64, "m1")


def test_a_receipt_of_a_link_set_names_its_product_and_its_link_version() -> None:
    links = ProductLinks(product_id="p1", version=7, title="Bottle")
    _, (read,) = published(receipts_of([Answered(kafka_record(b"v"), links)]), 10_000)
    assert (read.kind, read.id, read.version, read.occurred_at) == ("product_links", "p1", 7, None)


def test_only_the_receipt_of_a_replay_names_the_letter_and_the_attempt() -> None:
    pairs = [(headers.REPLAY_OF, b"qdrant:t:0:1:2"), (headers.DEAD_ATTEMPTS, b"3")]
    change = ProductChange.model_validate(product("p1", 1))
    replay = kafka_record(b"v", topic=REPLAY_TOPIC, headers=pairs)
    live = kafka_record(b"v", headers=pairs)
    first, second, unread = receipts_of(
        [
            Answered(replay, change, True),
            Answered(live, change),
            Undecoded(replay, DEAD, "product", True),
        ]
    )
    assert (first.replay_of, first.attempt) == ("qdrant:t:0:1:2", 3)
    assert (second.replay_of, second.attempt) == (None, None)
    assert (unread.replay_of, unread.attempt) == ("qdrant:t:0:1:2", 3)


def test_a_batch_is_one_record_without_a_key_that_names_its_schema() -> None:
    records, read = published(receipts_of([answered(n) for n in range(1000)]), 1_048_576)
    assert len(records) == 1
    assert len(read) == 1000
    assert records[0].key is None
    assert dict(records[0].headers)[headers.SCHEMA] == b"receipts/1"


def test_a_reader_that_does_not_know_conflicts_misses_no_other_receipt() -> None:
    results = [answered(0), answered(1, answer="conflict"), answered(2), answered(3, answer="conflict")]
    records, _ = published(receipts_of(results), 10_000)
    outcomes = [{one["outcome"] for one in json.loads(record.value or b"")["receipts"]} for record in records]
    assert sorted(outcomes, key=str) == [{"applied"}, {"conflict"}]


def test_an_empty_batch_publishes_no_receipts() -> None:
    assert published([], 100) == ([], [])


@given(st.lists(st.sampled_from(["p", "\x01" * 512, "가" * 170, '"' * 512]), max_size=40), st.integers(5000, 50_000))
def test_receipts_are_split_by_size_in_order_and_none_is_lost(ids: list[str], max_bytes: int) -> None:
    receipts = [
        Receipt(topic=TOPIC, partition=0, offset=n, outcome="applied", id=id, version=TIMESTAMP_MS)
        for n, id in enumerate(ids)
    ]
    records, read = published(receipts, max_bytes)
    assert read == receipts
    assert all(len(record.value or b"") <= max_bytes for record in records)


def test_a_receipt_that_exceeds_the_limit_is_published_alone() -> None:
    records, read = published(receipts_of([answered(n, "x" * 500) for n in range(3)]), 100)
    assert len(records) == len(read) == 3
