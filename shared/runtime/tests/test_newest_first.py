"""The newest of an entity's changes in one batch is tried first."""

import random
from typing import Any

from harness.kafka_record import REPLAY_TOPIC, kafka_record
from harness.records import product
from hypothesis import given
from hypothesis import strategies as st

from headrace_runtime.answers import Answered
from headrace_runtime.attempts import newest_first
from headrace_schemas.changes import KeywordChange, ProductChange
from headrace_schemas.links import ProductLinks
from headrace_worker.stage import Record


def item(
    version: int, offset: int = 0, *, replayed: bool = False, title: str = "t", product_id: str = "p1"
) -> Answered:
    value = product(product_id, version, title=title) | {"occurred_at": "2026-01-01T00:00:00Z"}
    topic = REPLAY_TOPIC if replayed else "headrace.products"
    return Answered(kafka_record(value, offset=offset, topic=topic), ProductChange.model_validate(value), replayed)


def order(*items: Answered) -> list[Answered]:
    (found,) = newest_first(items)
    return found


def test_the_highest_version_comes_first_whatever_its_offset() -> None:
    assert [one.change.version for one in order(item(2, 0), item(9, 1), item(10, 2), item(1, 3))] == [10, 9, 2, 1]


def test_the_lowest_offset_comes_first_among_equal_versions() -> None:
    assert [one.record.offset for one in order(item(1, 5), item(1, 3), item(1, 4))] == [3, 4, 5]


def test_a_live_record_comes_before_a_replay_of_its_version() -> None:
    first, second = order(item(1, 0, replayed=True), item(1, 9))
    assert (first.replayed, second.replayed) == (False, True)


def test_a_replay_of_a_newer_version_comes_before_an_older_live_record() -> None:
    assert [one.replayed for one in order(item(1, 9), item(2, 0, replayed=True))] == [True, False]


def test_a_product_a_keyword_and_a_link_set_of_one_id_are_different_entities() -> None:
    fields: dict[str, Any] = {"op": "delete", "version": 1, "occurred_at": "2026-01-01T00:00:00Z"}
    both = [ProductChange(product_id="1", **fields), KeywordChange(keyword_id="1", **fields)]
    records: list[Record] = [*both, ProductLinks(product_id="1", version=1, deleted=True)]
    items = [Answered(kafka_record(None, b"1"), record) for record in records]
    assert [[one.kind for one in found] for found in newest_first(items)] == [
        ["product"],
        ["keyword"],
        ["product_links"],
    ]


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(1, 4), st.booleans()), max_size=20), st.randoms())
def test_the_order_of_arrival_changes_nothing(drawn: list[tuple[str, int, bool]], shuffled: random.Random) -> None:
    items = [item(version, n, replayed=replayed, product_id=id) for n, (id, version, replayed) in enumerate(drawn)]
    mixed = items.copy()
    shuffled.shuffle(mixed)
    found = newest_first(mixed)
    assert by_id(found) == by_id(newest_first(items))
    assert sum(map(len, found)) == len(items)


def by_id(found: list[list[Answered]]) -> dict[str, list[Answered]]:
    """The records of each id, which are together."""
    named = {}
    for of_entity in found:
        (entity_id,) = {one.change.id for one in of_entity}
        assert entity_id not in named
        named[entity_id] = of_entity
    return named
