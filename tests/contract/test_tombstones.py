"""No search finds a deleted entity, and its version stays stored."""

from collections.abc import Callable
from typing import Any

import pytest
from harness.sinks import Sink, outcomes_of

from headrace_schemas.fields import Kind
from headrace_worker.stage import Applied, Stage
from headrace_worker.store import Observable, Query, Store

NewId = Callable[[str], str]


async def test_a_delete_hides_an_entity_from_search_and_keeps_its_version(
    sink: Sink, stage: Stage[Any], store: Store, kind: Kind, new_id: NewId
) -> None:
    text = f"word{new_id('')[:-1]}"
    kept, gone = sink.upsert(kind, new_id("kept"), 1, text=text), sink.upsert(kind, new_id("gone"), 1, text=text)
    await outcomes_of(stage, [kept, gone])
    assert await found(sink, store, kind, text) == {kept.id, gone.id}

    delete = sink.delete(kind, gone.id, 2)
    assert await outcomes_of(stage, [delete]) == [Applied()]
    assert await found(sink, store, kind, text) == {kept.id}
    assert await store.get(kind, [gone.id]) == {gone.id: sink.stored(delete)}
    assert [entity async for entity in store.scan(kind) if entity.id == gone.id] == [sink.stored(delete)]


async def test_a_late_change_of_a_deleted_entity_is_found_by_no_search(
    sink: Sink, stage: Stage[Any], store: Store, kind: Kind, new_id: NewId
) -> None:
    text = f"word{new_id('')[:-1]}"
    id = new_id("a")
    for change in (sink.upsert(kind, id, 1), sink.delete(kind, id, 3), sink.upsert(kind, id, 2, text=text)):
        await outcomes_of(stage, [change])
    assert await found(sink, store, kind, text) == set()


async def test_a_store_says_which_versions_a_search_finds_and_how_many_entities_there_are(
    sink: Sink, stage: Stage[Any], store: Store, kind: Kind, new_id: NewId
) -> None:
    if not isinstance(store, Observable):
        pytest.skip(f"{sink.worker.name} does not say it")
    kept, gone, ids = new_id("kept"), new_id("gone"), [new_id("kept"), new_id("gone"), new_id("unknown")]
    await store.refresh()
    before = await store.live_count(kind)
    await outcomes_of(stage, [sink.upsert(kind, id, 1) for id in (kept, gone)])
    await store.refresh()
    assert (await store.searchable(kind, ids), await store.live_count(kind)) == ({kept: 1, gone: 1}, before + 2)
    await outcomes_of(stage, [sink.upsert(kind, kept, 2), sink.delete(kind, gone, 2)])
    await store.refresh()
    assert (await store.searchable(kind, ids), await store.live_count(kind)) == ({kept: 2}, before + 1)
    assert await store.searchable(kind, []) == {}


async def test_an_entity_created_again_is_found_only_by_its_new_text(
    sink: Sink, stage: Stage[Any], store: Store, kind: Kind, new_id: NewId
) -> None:
    before, after = f"before{new_id('')[:-1]}", f"after{new_id('')[:-1]}"
    id = new_id("a")
    for change in (
        sink.upsert(kind, id, 1, text=before),
        sink.delete(kind, id, 2),
        sink.upsert(kind, id, 3, text=after),
    ):
        await outcomes_of(stage, [change])
    assert await found(sink, store, kind, after) == {id}
    assert await found(sink, store, kind, before) == set()


async def found(sink: Sink, store: Store, kind: Kind, text: str) -> set[str]:
    """The ids of entities with exactly this text: a vector store also finds others."""
    await store.refresh()
    hits = await store.search(Query(text, kind, limit=20, vector=sink.vector(text)))
    return {hit.id for hit in hits if not sink.takes_vectors or hit.score > 0.99}
