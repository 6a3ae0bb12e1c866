"""No reader finds the canary, and a canary search finds its newest version."""

import time
from typing import Any

import pytest
from harness.link_sinks import LinkSink
from harness.sinks import Sink, outcomes_of

from headrace_schemas.canary import CANARY_ID, canary_text
from headrace_schemas.fields import Kind
from headrace_schemas.links import Link, ProductLinks
from headrace_worker.stage import Applied, Stage, Superseded
from headrace_worker.store import CountsProducts, FindsCanary, FindsLinkedCanary, LinkStore, Query, Store


@pytest.fixture
def version(sink: Sink) -> int:
    """A version above those of the other tests: all of them have one canary."""
    if not sink.worker.takes_canary:
        pytest.skip("the worker gets no canary")
    return time.time_ns() // 1_000_000


async def test_no_reader_finds_the_canary(
    sink: Sink, stage: Stage[Any], store: Store, kind: Kind, version: int
) -> None:
    text = canary_text(version)
    canary = sink.upsert(kind, CANARY_ID, version, text=text)
    assert await outcomes_of(stage, [canary]) == [Applied()]
    await store.refresh()
    hits = await store.search(Query(text, kind, limit=1000, vector=sink.vector(text)))
    assert CANARY_ID not in {hit.id for hit in hits}
    assert CANARY_ID not in {entity.id async for entity in store.scan(kind)}
    assert await store.searchable(kind, [CANARY_ID]) == {}
    found = (await store.get(kind, [CANARY_ID]))[CANARY_ID]
    assert (found.version, found.deleted, found.fields) == (version, True, {})


async def test_a_canary_search_finds_its_newest_version_until_it_is_deleted(
    sink: Sink, stage: Stage[Any], store: Store, kind: Kind, version: int
) -> None:
    assert isinstance(store, FindsCanary)

    async def found_after(change: Any, outcome: object = Applied()) -> int | None:
        assert await outcomes_of(stage, [change]) == [outcome]
        await store.refresh()
        return await store.canary_version(kind)

    first, second = (sink.upsert(kind, CANARY_ID, v, text=canary_text(v)) for v in (version + 1, version + 2))
    assert await found_after(first) == version + 1
    assert await found_after(second) == version + 2
    assert await found_after(first, Superseded(by=version + 2)) == version + 2
    assert await found_after(sink.delete(kind, CANARY_ID, version + 3)) is None
    assert await found_after(sink.upsert(kind, CANARY_ID, version + 4, text=canary_text(version + 4))) == version + 4


async def test_no_reader_finds_the_links_of_the_canary(
    link_sink: LinkSink, link_stage: Stage[Any], link_store: LinkStore
) -> None:
    if not link_sink.worker.takes_canary:
        pytest.skip("the worker gets no canary")
    assert isinstance(link_store, FindsLinkedCanary)
    version = time.time_ns() // 1_000_000
    text = canary_text(version)
    linked = Link(keyword_id=CANARY_ID, text=text, score=0.9, rank=1)
    links = ProductLinks(product_id=CANARY_ID, version=version, title=text, links=(linked,))
    assert await link_stage.apply([links]) == [Applied()]
    await link_store.refresh()
    assert CANARY_ID not in {one.product_id async for one in link_store.scan_links()}
    assert await link_store.products_of(CANARY_ID, 10) == []
    if isinstance(link_store, CountsProducts):
        assert await link_store.product_count(CANARY_ID) == 0
    assert (await link_store.links_of([CANARY_ID]))[CANARY_ID] == ProductLinks(
        product_id=CANARY_ID, version=version, deleted=True
    )
    assert await link_store.linked_canary_version() == version

    await link_stage.apply([ProductLinks(product_id=CANARY_ID, version=version + 1, title=text)])
    await link_store.refresh()
    assert await link_store.linked_canary_version() is None
