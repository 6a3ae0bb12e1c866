"""Installations with different namespaces on one server never meet."""

from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import TypeVar

import pytest
from harness.link_sinks import LinkSink, link_set, link_sink_names, tombstone
from harness.sinks import Sink, outcomes_of, server_sink_names

from headrace_schemas.links import ProductLinks
from headrace_worker.stage import Applied
from headrace_worker.store import Query

NewId = Callable[[str], str]
S = TypeVar("S", Sink, LinkSink)
NAMESPACES = ("", "products__x", "product_keywords")
"""The first is that of all other tests. The others are chosen to give names that begin as names of the first."""


async def in_namespaces(sink: S) -> list[S]:
    """The sink of each namespace, prepared."""
    sinks = [replace(sink, settings=sink.settings.model_copy(update={"namespace": name})) for name in NAMESPACES]
    for one in sinks:
        store = one.store()
        await store.prepare()
        await store.close()
    return sinks


@pytest.mark.parametrize("sink", server_sink_names(), indirect=True)
async def test_the_entities_of_two_namespaces_never_meet(sink: Sink, new_id: NewId) -> None:
    sinks = await in_namespaces(sink)
    expected = []
    async with AsyncExitStack() as opened:
        stages = [await opened.enter_async_context(one.stage()) for one in sinks]
        for number, (one, stage) in enumerate(zip(sinks, stages, strict=True)):
            changes = [
                one.upsert(kind, new_id(name), 10 * number + place, f"{name} of installation {number}")
                for kind in ("product", "keyword")
                for place, name in enumerate("abc", 1)
            ]
            # A delete of what only one of the others has, and a version that would supersede it.
            changes[0] = one.delete("product", new_id("a"), 100) if number == 1 else changes[0]
            assert await outcomes_of(stage, changes) == [Applied()] * 6
            expected.append({(change.kind, change.id): one.stored(change) for change in changes})
        for number, one in enumerate(sinks):
            store = one.store()
            await store.refresh()
            ids = [new_id(name) for name in "abc"]
            for kind in ("product", "keyword"):
                of_kind = {id: entity for (its_kind, id), entity in expected[number].items() if its_kind == kind}
                assert await store.get(kind, ids) == of_kind
                assert {entity.id: entity async for entity in store.scan(kind) if entity.id in ids} == of_kind
            text = f"b of installation {number}"
            hits = await store.search(Query(text, limit=3, vector=one.vector(text)))
            assert hits[0].fields["title"] == text
            await store.close()


@pytest.mark.parametrize("link_sink", link_sink_names(on_servers=True), indirect=True)
async def test_the_link_sets_of_two_namespaces_never_meet(link_sink: LinkSink, new_id: NewId) -> None:
    sinks = await in_namespaces(link_sink)
    product, deleted, keyword = new_id("product"), new_id("deleted"), new_id("keyword")
    expected: list[Sequence[ProductLinks]] = []
    for number, sink in enumerate(sinks):
        sets = [
            link_set(product, 10 - number, [keyword, new_id(f"only-{number}")]),
            tombstone(deleted, 10) if number == 1 else link_set(deleted, 1 + number, [keyword]),
        ]
        async with sink.stage() as stage:
            assert await outcomes_of(stage, sets) == [Applied()] * 2
        expected.append(sets)
    for number, sink in enumerate(sinks):
        store = sink.store()
        await store.refresh()
        assert await store.links_of([product, deleted]) == {links.product_id: links for links in expected[number]}
        scanned = [links async for links in store.scan_links() if links.product_id in (product, deleted)]
        assert sorted(scanned, key=lambda links: links.product_id) == sorted(
            expected[number], key=lambda links: links.product_id
        )
        linked = [of.product_id for of in await store.products_of(keyword, 10)]
        assert sorted(linked) == sorted(links.product_id for links in expected[number] if not links.deleted)
        await store.close()
