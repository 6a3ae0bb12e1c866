"""If two copies of a worker write at once, the newest version still wins."""

import asyncio
import random
from collections.abc import Callable
from typing import Any

from harness.sinks import Sink, outcomes_of

from headrace_schemas.fields import Kind
from headrace_worker.stage import Applied, Superseded
from headrace_worker.store import Store

NewId = Callable[[str], str]
ENTITIES, VERSIONS = 40, 13


async def test_writers_of_the_same_ids_end_in_the_highest_versions(
    sink: Sink, store: Store, kind: Kind, new_id: NewId
) -> None:
    changes = [
        sink.delete(kind, new_id(str(number)), version) if version % 4 == 0
        else sink.upsert(kind, new_id(str(number)), version)
        for version in range(1, VERSIONS + 1)
        for number in range(ENTITIES)
    ]  # fmt: skip
    chance = random.Random(5)
    chance.shuffle(changes)
    async with sink.stage() as one, sink.stage() as other:
        queue = [batch_of_distinct_ids(changes) for _ in range(VERSIONS)]
        assert not changes

        async def write(stage: Any) -> list[Any]:
            outcomes = []
            while queue:
                outcomes += await outcomes_of(stage, queue.pop())
            return outcomes

        answers = await asyncio.gather(write(one), write(other), write(one), write(other))
    assert {type(outcome) for outcomes in answers for outcome in outcomes} <= {Applied, Superseded}
    ids = [new_id(str(number)) for number in range(ENTITIES)]
    assert await store.get(kind, ids) == {id: sink.stored(sink.upsert(kind, id, VERSIONS)) for id in ids}


def batch_of_distinct_ids(changes: list[Any]) -> list[Any]:
    """Takes one change of each id out of `changes`, in any order."""
    batch: dict[str, Any] = {}
    for change in changes:
        batch.setdefault(change.id, change)
    for change in batch.values():
        changes.remove(change)
    return list(batch.values())
