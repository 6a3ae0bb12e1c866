"""The keywords of a product and the products of a keyword, best first, for any ids and texts."""

import asyncio
from collections.abc import Callable
from typing import Any
from uuid import uuid4

from harness.link_sinks import link_set, tombstone
from harness.sinks import outcomes_of

from headrace_schemas.fields import MAX_ID_BYTES
from headrace_schemas.links import Link, ProductLinks
from headrace_worker.stage import Applied, Stage
from headrace_worker.store import CountsProducts, LinkedProduct, LinkStore

NewId = Callable[[str], str]
AWKWARD = (
    "a/b/../c?d=e&f#g", "  two  spaces \t tab \n line ", 'it\'s "quoted" \\ $1 {x} %s; --', "👩‍👩‍👧‍👦🏳️‍🌈",
    "전자레인지-電子レンジ", "..", "*", "_all", "%2F%00",
)  # fmt: skip
VERSIONS = 60


async def test_a_keyword_finds_its_products_by_score_then_by_id(
    link_stage: Stage[Any], link_store: LinkStore, new_id: NewId
) -> None:
    keyword, other = new_id("keyword"), new_id("other")
    near = scored(new_id("near"), [(other, 0.99), (new_id("x"), 0.985), (keyword, 0.98)])
    exact = scored(new_id("exact"), [(other, 1.0), (keyword, 0.999999)])
    ahead = scored(new_id("ahead"), [(keyword, 0.9), (other, 0.1)])
    far_a, far_b = scored(new_id("far-a"), [(other, 0.6), (keyword, 0.5)]), scored(new_id("far-b"), [(keyword, 0.5)])
    opposite = scored(new_id("opposite"), [(keyword, -0.25)])
    await outcomes_of(link_stage, [far_b, opposite, near, far_a, ahead, exact])
    await link_store.refresh()
    expected = [
        (exact, 2, 0.999999),
        (near, 3, 0.98),
        (ahead, 1, 0.9),
        (far_a, 2, 0.5),
        (far_b, 1, 0.5),
        (opposite, 1, -0.25),
    ]
    ordered = [LinkedProduct(links.product_id, links.title or "", rank, score) for links, rank, score in expected]
    assert await link_store.products_of(keyword, 10) == ordered
    for limit in (1, 2, 4):
        assert await link_store.products_of(keyword, limit) == ordered[:limit]
    assert await link_store.products_of(new_id("unknown"), 10) == []
    if isinstance(link_store, CountsProducts):
        assert [await link_store.product_count(id) for id in (keyword, other, new_id("unknown"))] == [6, 4, 0]


async def test_a_product_finds_its_keywords_by_rank(
    link_stage: Stage[Any], link_store: LinkStore, new_id: NewId
) -> None:
    ids = [new_id(f"{number * 37 % 100}") for number in range(100)]
    links = link_set(new_id("p"), 1, ids)
    await outcomes_of(link_stage, [links])
    stored = await link_store.links_of([links.product_id, new_id("unknown")])
    assert stored == {links.product_id: links}
    assert [link.keyword_id for link in stored[links.product_id].links] == ids
    assert await link_store.links_of([]) == {}


async def test_links_with_any_id_and_any_text_are_stored_exactly(link_stage: Stage[Any], link_store: LinkStore) -> None:
    run = uuid4().hex
    long = (run + "전" * MAX_ID_BYTES).encode()[: MAX_ID_BYTES - 2].decode(errors="ignore")
    ids = [name + run for name in (*AWKWARD, "x")] + [long, run.ljust(MAX_ID_BYTES, "x")]
    scores = [0.1 + 0.2, -1.0, 1.0, 0.0, 5e-324, 1 / 3, -0.123456789012345, 0.999999940395355]
    links = tuple(
        Link(keyword_id=id, text=text, score=scores[place % len(scores)], rank=place)
        for place, (id, text) in enumerate(zip(ids, [*AWKWARD, "", "x" * 40_000, "보온병"], strict=True), 1)
    )
    sets = [ProductLinks(product_id=id, version=1, title=f" {id}\n", links=links) for id in ids]
    assert await outcomes_of(link_stage, sets) == [Applied()] * len(sets)
    assert await link_store.links_of(ids) == {one.product_id: one for one in sets}
    await link_store.refresh()
    for id in ids:
        assert {found.product_id for found in await link_store.products_of(id, 100)} == set(ids)


async def test_every_set_is_scanned_once_tombstones_and_empty_ones_included(
    link_stage: Stage[Any], link_store: LinkStore, new_id: NewId
) -> None:
    sets = [link_set(new_id(f"p{number}"), 1, [new_id("a"), new_id("b")]) for number in range(40)]
    sets += [tombstone(new_id("gone"), 1), link_set(new_id("empty"), 1, [])]
    await outcomes_of(link_stage, sets)
    await link_store.refresh()
    prefix = new_id("")
    scanned = [links async for links in link_store.scan_links() if links.id.startswith(prefix)]
    assert sorted(scanned, key=lambda links: links.id) == sorted(sets, key=lambda links: links.id)


async def test_a_reader_sees_one_set_or_another_and_never_parts_of_two(
    link_stage: Stage[Any], link_store: LinkStore, new_id: NewId
) -> None:
    product = new_id("p")
    keywords = [new_id(f"k{number}") for number in range(30)]
    sets = [link_set(product, version, keywords[version % 5 : 10 + version % 20]) for version in range(1, VERSIONS + 1)]
    await outcomes_of(link_stage, sets[:1])

    async def replace() -> None:
        for links in sets[1:]:
            await outcomes_of(link_stage, [links])

    replacing = asyncio.create_task(replace())
    seen = []
    while not replacing.done():
        seen.append((await link_store.links_of([product]))[product])
    await replacing
    assert len({links.version for links in seen}) > 2
    assert [links for links in seen if links not in sets] == []
    assert sorted(links.version for links in seen) == [links.version for links in seen]


def scored(product_id: str, keywords: list[tuple[str, float]]) -> ProductLinks:
    links = tuple(
        Link(keyword_id=id, text="t", score=score, rank=place) for place, (id, score) in enumerate(keywords, 1)
    )
    return ProductLinks(product_id=product_id, version=1, title=f"title of {product_id}", links=links)
