"""Two changes of one entity with one version: the first that arrives stays, and the other is a conflict."""

from collections.abc import Callable
from typing import Any

import pytest
from harness.batches import answers
from harness.sinks import Sink, outcomes_of, sink_names

from headrace_schemas.fields import Kind
from headrace_worker.stage import Applied, Conflict, Stage
from headrace_worker.store import Store

NewId = Callable[[str], str]


async def test_other_content_under_a_stored_version_is_a_conflict_and_what_is_stored_stays(
    sink: Sink, stage: Stage[Any], store: Store, kind: Kind, new_id: NewId
) -> None:
    ids = [new_id(name) for name in ("text", "locale", "deleted", "re-created")]
    first = [sink.upsert(kind, id, 3, text="the same text") for id in ids[:3]] + [sink.delete(kind, ids[3], 3)]
    other = [
        sink.upsert(kind, ids[0], 3, text="another text"),
        sink.upsert(kind, ids[1], 3, text="the same text", locale="de"),
        sink.delete(kind, ids[2], 3),
        sink.upsert(kind, ids[3], 3, text="created again"),
    ]
    assert await outcomes_of(stage, first) == [Applied()] * 4
    assert await outcomes_of(stage, other) == [Conflict()] * 4
    assert await outcomes_of(stage, first) == [Applied()] * 4
    assert await store.get(kind, ids) == {change.id: sink.stored(change) for change in first}
    newer = [sink.upsert(kind, id, 4, text="corrected") for id in ids]
    assert await outcomes_of(stage, newer) == [Applied()] * 4
    assert await outcomes_of(stage, newer) == [Applied()] * 4
    assert await store.get(kind, ids) == {change.id: sink.stored(change) for change in newer}


async def test_batches_do_not_change_which_changes_conflict(
    sink: Sink, stage: Stage[Any], store: Store, kind: Kind, new_id: NewId
) -> None:
    together, apart = new_id("together"), new_id("apart")

    def arriving(id: str) -> list[Any]:
        first, second = sink.upsert(kind, id, 2, text="the first"), sink.upsert(kind, id, 2, text="the second")
        return [sink.upsert(kind, id, 1), first, second, first, sink.delete(kind, id, 2)]

    answered = sorted(await answers(stage, arriving(together)), key=lambda done: done.record.offset)
    assert [done.answer for done in answered] == ["superseded", "applied", "conflict", "applied", "conflict"]
    one_by_one = [(await answers(stage, [change]))[0].answer for change in arriving(apart)]
    assert one_by_one == ["applied", "applied", "conflict", "applied", "conflict"]
    stored = await store.get(kind, [together, apart])
    assert stored == {id: sink.stored(arriving(id)[1]) for id in (together, apart)}


@pytest.mark.parametrize("sink", sink_names(vectors=True), indirect=True)
async def test_a_change_without_a_digest_never_conflicts(
    sink: Sink, stage: Stage[Any], store: Store, kind: Kind, new_id: NewId
) -> None:
    """Records that an older release of embed published have none, and what it wrote has none in the store."""
    old, new = new_id("old"), new_id("new")
    stored = [sink.upsert(kind, old, 3, digest=None), sink.upsert(kind, new, 3)]
    assert await outcomes_of(stage, stored) == [Applied()] * 2
    later = [sink.upsert(kind, old, 3, text="other"), sink.upsert(kind, new, 3, text="other", digest=None)]
    assert await outcomes_of(stage, later) == [Applied()] * 2
    assert await store.get(kind, [old, new]) == {change.id: sink.stored(change) for change in stored}
