"""`stores apply` can be repeated, and two can run at once, on a store in use."""

import asyncio
from collections.abc import Callable
from typing import Any

from harness.sinks import Sink, outcomes_of

from headrace_schemas.fields import Kind
from headrace_worker.stage import Applied, Stage
from headrace_worker.store import Store


async def test_a_second_run_creates_nothing_and_keeps_what_is_stored(
    sink: Sink, stage: Stage[Any], store: Store, kind: Kind, new_id: Callable[[str], str]
) -> None:
    before, after = sink.upsert(kind, new_id("before"), 1), sink.upsert(kind, new_id("after"), 1)
    await outcomes_of(stage, [before])
    assert await store.prepare() == []
    assert await outcomes_of(stage, [after]) == [Applied()]
    assert await store.get(kind, [before.id, after.id]) == {
        before.id: sink.stored(before),
        after.id: sink.stored(after),
    }


async def test_two_runs_at_once_both_succeed(sink: Sink) -> None:
    stores = [sink.store(), sink.store()]
    try:
        assert await asyncio.gather(*(store.prepare() for store in stores)) == [[], []]
    finally:
        for store in stores:
            await store.close()
