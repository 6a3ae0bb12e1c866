"""The comparison finds each way in which a store can differ from the newest version of each entity."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from headrace_demo.entity_comparison import EntityComparison, compare_entities
from headrace_expected.entities import Position, fold
from headrace_schemas.changes import ProductChange
from headrace_worker.store import Stored

LAMP = {"product_id": "lamp", "title": "Lamp", "price": 12.0, "attributes": {"colour": "red"}}
AT = datetime(2026, 1, 1, tzinfo=UTC)
CHANGES = [
    ProductChange.model_validate({"op": "upsert", "version": 3, "occurred_at": AT} | LAMP),
    ProductChange(op="delete", version=2, occurred_at=AT, product_id="gone"),
]
EXPECTED = fold([(change, Position(0, offset)) for offset, change in enumerate(CHANGES)], {})
STORED = {
    "lamp": Stored("lamp", 3, False, LAMP, content_hash="c" * 64, model="m"),
    "gone": Stored("gone", 2, True),
}


async def compared(*stored: Stored, model: str | None = "m") -> EntityComparison:
    async def scan() -> AsyncIterator[Stored]:
        for entity in stored:
            yield entity

    return await compare_entities(scan(), "product", EXPECTED, model=model)


async def test_a_store_with_exactly_the_newest_versions_is_equal() -> None:
    comparison = await compared(*STORED.values())
    assert comparison.equal
    assert (comparison.live, comparison.tombstones) == (1, 1)


@pytest.mark.parametrize(
    ("id", "change", "what"),
    [
        ("lamp", {"version": 2}, "has version 2, the newest is 3"),
        ("lamp", {"version": 4}, "has version 4, the newest is 3"),
        ("lamp", {"deleted": True}, "has other content under version 3"),
        ("gone", {"deleted": False, "fields": LAMP}, "is live, and version 2 is a delete"),
        ("gone", {"fields": {"title": "Lamp"}}, "has other content under version 2"),
        ("lamp", {"fields": LAMP | {"price": 13.0}}, "has other content under version 3"),
        ("lamp", {"fields": LAMP | {"attributes": {"colour": "blue"}}}, "has other content under version 3"),
        ("lamp", {"fields": LAMP | {"brand": "Acme"}}, "has other content under version 3"),
        ("lamp", {"fields": {"product_id": "lamp", "title": "Lamp"}}, "has other content under version 3"),
        ("lamp", {"fields": {"product_id": "lamp"}}, "has other content under version 3"),
        ("lamp", {"content_hash": None}, "has no vector of m"),
        ("lamp", {"model": "other"}, "has a vector of other"),
    ],
)
async def test_every_difference_is_found(id: str, change: dict[str, object], what: str) -> None:
    stored = STORED | {id: replace(STORED[id], **change)}  # type: ignore[arg-type]
    comparison = await compared(*stored.values())
    assert comparison.differences == [(id, what)]
    assert not comparison.equal


async def test_a_missing_an_unpublished_and_a_repeated_entity_are_found() -> None:
    comparison = await compared(STORED["lamp"], STORED["lamp"], Stored("new", 1, False))
    assert set(comparison.differences) == {
        ("lamp", "is stored twice"),
        ("new", "is live, and was never published"),
        ("gone", "is missing"),
    }


async def test_a_store_without_vectors_needs_none() -> None:
    stored = replace(STORED["lamp"], content_hash=None, model=None)
    assert (await compared(stored, STORED["gone"], model=None)).equal


async def test_all_differences_are_counted_and_the_first_are_kept() -> None:
    comparison = await compared(*STORED.values(), *(Stored(f"s{number}", 1, False) for number in range(1000)))
    assert comparison.different == 1000
    assert len(comparison.differences) == 20
