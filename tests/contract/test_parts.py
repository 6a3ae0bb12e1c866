"""A failed part of a batch does not touch the others: one rule for every sink.

A proxy before the real server closes the connection of each request that contains the id of a certain keyword.
"""

from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import Any

import pytest
from harness.proxy import Proxy, proxy
from harness.servers import Servers
from harness.sinks import Sink, outcomes_of, server_sink_names

from headrace_schemas.fields import MAX_ID_BYTES
from headrace_worker.stage import Applied, Rejected, Stage, Superseded, Unavailable
from headrace_worker.store import Store

NewId = Callable[[str], str]
pytestmark = pytest.mark.parametrize("sink", server_sink_names(), indirect=True)

LONG = "x" * 9_000
"""So long that 160 products are more than one request, if requests are cut by bytes."""


@dataclass(frozen=True)
class Path:
    """A stage whose connections go through the proxy."""

    stage: Stage[Any]
    proxy: Proxy


@pytest.fixture
async def path(sink: Sink, servers: Servers) -> AsyncIterator[Path]:
    async with proxy(servers.need(sink.server), sink.server) as (between, variables):
        settings = servers.settings(sink.worker.settings, sink.server, **variables)
        async with sink.worker.stage(settings) as stage:
            yield Path(stage, between)


async def test_a_part_that_is_unavailable_does_not_touch_the_others(
    sink: Sink, path: Path, store: Store, new_id: NewId
) -> None:
    batch = [*products(sink, new_id), *keywords(sink, new_id)]
    path.proxy.forbidden = batch[-1].id.encode()
    outcomes = await path.stage.apply(batch)
    assert path.proxy.cut == 1
    assert isinstance(outcomes[-1], Unavailable)
    assert set(outcomes[:100]) == {Applied()}
    await check_stored(
        sink, store, [change for change, outcome in zip(batch, outcomes, strict=True) if outcome == Applied()]
    )

    path.proxy.forbidden = None
    assert await outcomes_of(path.stage, batch) == [Applied()] * len(batch)
    await check_stored(sink, store, batch)


async def test_a_refused_change_is_found_while_another_part_is_unavailable(
    sink: Sink, path: Path, store: Store, new_id: NewId
) -> None:
    good, waiting = products(sink, new_id), keywords(sink, new_id)
    batch = [*good[:40], refused(sink, new_id("bad")), *good[40:], *waiting]
    path.proxy.forbidden = batch[-1].id.encode()
    outcomes = list(await path.stage.apply(batch))
    assert path.proxy.cut == 1
    assert isinstance(outcomes[-1], Unavailable)
    rejection = outcomes.pop(40)
    assert isinstance(rejection, Rejected)
    assert rejection.reason == "refused_by_store"
    assert set(outcomes[:100]) == {Applied()}
    assert {type(outcome) for outcome in outcomes} == {Applied, Unavailable}

    path.proxy.forbidden = None
    left = [change for change, outcome in zip([*good, *waiting], outcomes, strict=True) if outcome != Applied()]
    assert await path.stage.apply(left) == [Applied()] * len(left)
    await check_stored(sink, store, [*good, *waiting])
    assert batch[40].id not in await store.get("product", [batch[40].id])


async def test_when_every_part_is_unavailable_the_batch_is(sink: Sink, path: Path, store: Store, new_id: NewId) -> None:
    batch = [*products(sink, new_id), *keywords(sink, new_id)]
    await path.stage.check()
    path.proxy.forbidden = new_id("").encode()
    with pytest.raises(Unavailable):
        await path.stage.apply(batch)
    assert path.proxy.cut > 1
    path.proxy.forbidden = None
    assert await outcomes_of(path.stage, batch) == [Applied()] * len(batch)
    await check_stored(sink, store, batch)


async def test_a_redelivery_of_a_batch_with_a_failed_part_makes_no_version_older(
    sink: Sink, path: Path, store: Store, new_id: NewId
) -> None:
    batch = [*products(sink, new_id), *keywords(sink, new_id)]
    newer = sink.upsert("product", batch[0].id, 9)
    path.proxy.forbidden = batch[-1].id.encode()
    await path.stage.apply(batch)
    assert path.proxy.cut == 1
    path.proxy.forbidden = None
    assert await outcomes_of(path.stage, [newer]) == [Applied()]
    counts = Counter(type(outcome) for outcome in await outcomes_of(path.stage, batch))
    assert counts == {Applied: len(batch) - 1, Superseded: 1}
    await check_stored(sink, store, [newer, *batch[1:]])


def products(sink: Sink, new_id: NewId) -> list[Any]:
    return [sink.upsert("product", new_id(f"p{number}"), 1, description=LONG) for number in range(160)]


def keywords(sink: Sink, new_id: NewId) -> list[Any]:
    return [sink.upsert("keyword", new_id(f"k{number}"), 1) for number in range(20)]


def refused(sink: Sink, id: str) -> Any:
    """A product that passes the stage's own checks and for which each server refuses the whole request: an id longer
    than Elasticsearch accepts, a character that PostgreSQL cannot store, JSON nested deeper than Qdrant accepts.
    """
    deep: Any = 1
    for _ in range(210):
        deep = {"a": deep}
    fields = sink.upsert("product", id, 1).__dict__
    changed = {"product_id": id.ljust(MAX_ID_BYTES + 1, "x"), "title": "bad \x00", "attributes": {"deep": deep}}
    return sink.records["product"].model_construct(**{**fields, **changed})


async def check_stored(sink: Sink, store: Store, changes: Sequence[Any]) -> None:
    for kind in ("product", "keyword"):
        of_kind = [change for change in changes if change.kind == kind]
        expected = {change.id: sink.stored(change) for change in of_kind}
        assert await store.get(kind, list(expected)) == expected
