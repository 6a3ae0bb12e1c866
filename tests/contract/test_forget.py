"""A version that was published by mistake is taken back, and the changes after it count again."""

from collections.abc import Callable
from typing import Any

from harness.sinks import Sink, outcomes_of

from headrace_schemas.fields import MAX_VERSION, Kind
from headrace_schemas.forget_record import Forget
from headrace_worker.stage import Applied, Stage, Superseded
from headrace_worker.store import Query, Store

NewId = Callable[[str], str]
WRONG = MAX_VERSION
"""A neighbour of it is the same number as a 64-bit float."""


async def test_a_version_is_taken_back_and_lower_versions_are_taken_at_once(
    sink: Sink, stage: Stage[Any], store: Store, kind: Kind, new_id: NewId
) -> None:
    ids = [new_id("upsert"), new_id("delete"), new_id("beside")]
    wrong = [sink.upsert(kind, ids[0], WRONG), sink.delete(kind, ids[1], WRONG), sink.upsert(kind, ids[2], WRONG - 1)]
    await outcomes_of(stage, wrong)

    for id in ids:
        assert await outcomes_of(stage, [Forget(kind=kind, id=id, version=WRONG)]) == [Applied()]
    assert await store.get(kind, ids) == {ids[2]: sink.stored(wrong[2])}

    again = [sink.upsert(kind, id, 7, text=f"{id} right") for id in ids]
    assert await outcomes_of(stage, again[:2]) == [Applied(), Applied()]
    assert await outcomes_of(stage, again[2:]) == [Superseded(by=WRONG - 1)]
    await store.refresh()
    text = f"{ids[0]} right"
    assert ids[0] in {hit.id for hit in await store.search(Query(text, kind, vector=sink.vector(text)))}

    # A second delivery finds the right version, which stays.
    assert await outcomes_of(stage, [Forget(kind=kind, id=ids[0], version=WRONG)]) == [Applied()]
    assert await outcomes_of(stage, [Forget(kind=kind, id=ids[0], version=6)]) == [Superseded(by=7)]
    assert await store.get(kind, [ids[0]]) == {ids[0]: sink.stored(again[0])}
