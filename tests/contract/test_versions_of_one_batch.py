"""Several versions of one entity in one batch, through the runtime into the store."""

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
from harness.batches import answers
from harness.sinks import Sink, sink_names

from headrace_schemas.fields import Kind
from headrace_worker.stage import Stage
from headrace_worker.store import Store

NewId = Callable[[str], str]


async def test_the_newer_of_two_versions_of_one_id_in_one_batch_is_stored(
    sink: Sink, stage: Stage[Any], store: Store, kind: Kind, new_id: NewId
) -> None:
    a, b, c = new_id("a"), new_id("b"), new_id("c")
    batch = [
        sink.upsert(kind, a, 1), sink.upsert(kind, b, 2), sink.delete(kind, c, 2), sink.upsert(kind, a, 3),
        sink.upsert(kind, b, 1), sink.upsert(kind, a, 2), sink.upsert(kind, c, 1),
    ]  # fmt: skip
    answered = await answers(stage, batch)
    applied = {(done.change.id, done.change.version) for done in answered if done.answer == "applied"}
    assert applied == {(a, 3), (b, 2), (c, 2)}
    assert len(answered) == len(batch)
    newest = [batch[3], batch[1], batch[2]]
    assert await store.get(kind, [a, b, c]) == {change.id: sink.stored(change) for change in newest}


@pytest.mark.parametrize("sink", sink_names(vectors=True), indirect=True)
async def test_the_next_newest_is_stored_if_the_newest_of_an_id_is_rejected(
    sink: Sink, stage: Stage[Any], store: Store, kind: Kind, new_id: NewId
) -> None:
    id = new_id("a")
    wrong = sink.upsert(kind, id, 3, embedding=sink.embedding("wrong", dimension=7))
    batch = [sink.upsert(kind, id, 1), wrong, sink.upsert(kind, id, 2)]
    answered = await answers(stage, batch)
    assert [done.change.version for done in answered if done.rejection] == [3]
    assert [done.change.version for done in answered if done.answer == "superseded"] == [1]
    assert await store.get(kind, [id]) == {id: sink.stored(batch[2])}


@pytest.mark.parametrize("sink", sink_names(vectors=True), indirect=True)
async def test_the_highest_accepted_version_is_stored_whatever_the_batches_until_a_higher_one_ends_it(
    sink: Sink, stage: Stage[Any], store: Store, kind: Kind, new_id: NewId
) -> None:
    for place, cuts in enumerate([(), (1,), (2,), (3,), (1, 2, 3, 4)]):
        id = new_id(f"a{place}")
        refused = [sink.upsert(kind, id, n, embedding=sink.embedding(f"{n}", dimension=7)) for n in (3, 5)]
        history = [sink.upsert(kind, id, 2), refused[1], sink.upsert(kind, id, 4), refused[0], sink.upsert(kind, id, 1)]
        # The last two records are read again, as after a crash.
        edges = [0, *cuts, len(history)]
        batches = [history[start:end] for start, end in pairwise(edges)]
        answered = [done for batch in [*batches, history[3:]] for done in await answers(stage, batch)]
        dead = {done.change.version for done in answered if done.rejection}
        assert 5 in dead
        assert await store.get(kind, [id]) == {id: sink.stored(history[2])}
        newer = sink.upsert(kind, id, 6)
        await answers(stage, [newer])
        assert await store.get(kind, [id]) == {id: sink.stored(newer)}
