"""A store has the newest version for any order of arrival, and never an older one again."""

from collections.abc import Callable
from typing import Any

import pytest
from harness.sinks import Sink, outcomes_of

from headrace_schemas.fields import MAX_VERSION, Kind
from headrace_worker.stage import Applied, Conflict, Stage, Superseded
from headrace_worker.store import Store

NewId = Callable[[str], str]
NEIGHBOURS = [(1, 2), (2**32 - 1, 2**32), (2**53, 2**53 + 1), (2**62 - 1, 2**62), (MAX_VERSION - 1, MAX_VERSION)]


async def test_a_newer_version_replaces_an_older_one(
    sink: Sink, stage: Stage[Any], store: Store, kind: Kind, new_id: NewId
) -> None:
    id = new_id("a")
    old, new = sink.upsert(kind, id, 1), sink.upsert(kind, id, 2)
    assert await outcomes_of(stage, [old]) == [Applied()]
    assert await store.get(kind, [id]) == {id: sink.stored(old)}
    assert await outcomes_of(stage, [new]) == [Applied()]
    assert await store.get(kind, [id]) == {id: sink.stored(new)}


async def test_an_older_version_after_a_newer_one_is_superseded(
    sink: Sink, stage: Stage[Any], store: Store, kind: Kind, new_id: NewId
) -> None:
    id = new_id("a")
    new = sink.upsert(kind, id, 7)
    await outcomes_of(stage, [new])
    (outcome,) = await outcomes_of(stage, [sink.upsert(kind, id, 6)])
    assert_superseded(outcome, by=7)
    assert await store.get(kind, [id]) == {id: sink.stored(new)}


async def test_the_same_change_twice_is_applied_twice(
    sink: Sink, stage: Stage[Any], store: Store, kind: Kind, new_id: NewId
) -> None:
    upsert, delete = sink.upsert(kind, new_id("a"), 3), sink.delete(kind, new_id("b"), 3)
    for _ in range(2):
        assert await outcomes_of(stage, [upsert, delete]) == [Applied(), Applied()]
    assert await store.get(kind, [upsert.id, delete.id]) == {
        upsert.id: sink.stored(upsert),
        delete.id: sink.stored(delete),
    }


async def test_the_first_of_two_changes_with_one_version_stays(
    sink: Sink, stage: Stage[Any], store: Store, kind: Kind, new_id: NewId
) -> None:
    id = new_id("a")
    first, second = sink.upsert(kind, id, 3, text="the first"), sink.upsert(kind, id, 3, text="the second")
    assert await outcomes_of(stage, [first]) == [Applied()]
    assert await outcomes_of(stage, [second]) == [Conflict()]
    assert await outcomes_of(stage, [sink.delete(kind, id, 3)]) == [Conflict()]
    assert await store.get(kind, [id]) == {id: sink.stored(first)}


async def test_an_older_upsert_after_a_delete_is_superseded(
    sink: Sink, stage: Stage[Any], store: Store, kind: Kind, new_id: NewId
) -> None:
    id = new_id("a")
    delete = sink.delete(kind, id, 5)
    await outcomes_of(stage, [sink.upsert(kind, id, 3)])
    assert await outcomes_of(stage, [delete]) == [Applied()]
    (outcome,) = await outcomes_of(stage, [sink.upsert(kind, id, 4)])
    assert_superseded(outcome, by=5)
    assert await store.get(kind, [id]) == {id: sink.stored(delete)}


async def test_an_older_upsert_after_the_delete_of_an_unknown_id_is_superseded(
    sink: Sink, stage: Stage[Any], store: Store, kind: Kind, new_id: NewId
) -> None:
    id = new_id("never-seen")
    delete = sink.delete(kind, id, 5)
    assert await outcomes_of(stage, [delete]) == [Applied()]
    (outcome,) = await outcomes_of(stage, [sink.upsert(kind, id, 4)])
    assert_superseded(outcome, by=5)
    assert await store.get(kind, [id]) == {id: sink.stored(delete)}


async def test_an_older_delete_after_a_newer_upsert_is_superseded(
    sink: Sink, stage: Stage[Any], store: Store, kind: Kind, new_id: NewId
) -> None:
    id = new_id("a")
    new = sink.upsert(kind, id, 5)
    await outcomes_of(stage, [new])
    (outcome,) = await outcomes_of(stage, [sink.delete(kind, id, 4)])
    assert_superseded(outcome, by=5)
    assert await store.get(kind, [id]) == {id: sink.stored(new)}


async def test_a_deleted_entity_is_created_again_by_a_newer_upsert(
    sink: Sink, stage: Stage[Any], store: Store, kind: Kind, new_id: NewId
) -> None:
    id = new_id("a")
    again = sink.upsert(kind, id, 3, text="back again")
    for change in (sink.upsert(kind, id, 1), sink.delete(kind, id, 2), again):
        assert await outcomes_of(stage, [change]) == [Applied()]
    assert await store.get(kind, [id]) == {id: sink.stored(again)}


@pytest.mark.parametrize(("older", "newer"), NEIGHBOURS)
async def test_neighbouring_versions_are_distinguished_in_both_orders(
    sink: Sink, stage: Stage[Any], store: Store, kind: Kind, new_id: NewId, older: int, newer: int
) -> None:
    rising, falling = new_id("rising"), new_id("falling")
    await outcomes_of(stage, [sink.upsert(kind, rising, older), sink.upsert(kind, falling, newer)])
    outcomes = await outcomes_of(stage, [sink.upsert(kind, rising, newer), sink.upsert(kind, falling, older)])
    assert outcomes[0] == Applied()
    assert_superseded(outcomes[1], by=newer)
    stored = await store.get(kind, [rising, falling])
    assert {id: entity.version for id, entity in stored.items()} == {rising: newer, falling: newer}


def assert_superseded(outcome: object, by: int) -> None:
    assert isinstance(outcome, Superseded)
    assert outcome.by in (None, by)
