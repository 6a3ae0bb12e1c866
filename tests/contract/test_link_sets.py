"""A store has the newest link set of each product, as a whole, for any order of arrival."""

from collections.abc import Callable
from typing import Any

import pytest
from harness.link_sinks import link_set, tombstone
from harness.sinks import outcomes_of

from headrace_schemas.fields import MAX_VERSION
from headrace_schemas.links import ProductLinks
from headrace_worker.stage import Applied, Outcome, Stage, Superseded
from headrace_worker.store import LinkStore

NewId = Callable[[str], str]
NEIGHBOURS = [(1, 2), (2**32 - 1, 2**32), (2**53, 2**53 + 1), (2**62 - 1, 2**62), (MAX_VERSION - 1, MAX_VERSION)]


async def test_a_newer_set_replaces_an_older_one_as_a_whole(
    link_stage: Stage[Any], link_store: LinkStore, new_id: NewId
) -> None:
    product, a, b, c, d = map(new_id, ("p", "a", "b", "c", "d"))
    for links in (link_set(product, 1, [a, b, c]), link_set(product, 2, [d, b]), link_set(product, 3, [b, a, d, c])):
        assert await outcomes_of(link_stage, [links]) == [Applied()]
        assert await link_store.links_of([product]) == {product: links}
        assert await linked(link_store, a, b, c, d) == keywords_of(links)


async def test_an_older_set_after_a_newer_one_is_superseded(
    link_stage: Stage[Any], link_store: LinkStore, new_id: NewId
) -> None:
    product, a, b = map(new_id, ("p", "a", "b"))
    new = link_set(product, 7, [a])
    await outcomes_of(link_stage, [new])
    (outcome,) = await outcomes_of(link_stage, [link_set(product, 6, [b, a])])
    assert_superseded(outcome, by=7)
    assert await link_store.links_of([product]) == {product: new}
    assert await linked(link_store, a, b) == {a}


async def test_the_same_set_twice_is_applied_twice(
    link_stage: Stage[Any], link_store: LinkStore, new_id: NewId
) -> None:
    sets = [link_set(new_id("p"), 3, [new_id("a")]), link_set(new_id("empty"), 3, []), tombstone(new_id("gone"), 3)]
    for _ in range(2):
        assert await outcomes_of(link_stage, sets) == [Applied()] * 3
    assert await link_store.links_of([links.id for links in sets]) == {links.id: links for links in sets}


async def test_the_first_of_two_sets_with_one_version_stays(
    link_stage: Stage[Any], link_store: LinkStore, new_id: NewId
) -> None:
    product = new_id("p")
    first = link_set(product, 3, [new_id("a")])
    for links in (first, link_set(product, 3, [new_id("b")]), tombstone(product, 3)):
        assert await outcomes_of(link_stage, [links]) == [Applied()]
    assert await link_store.links_of([product]) == {product: first}


async def test_a_deleted_product_has_no_links_and_keeps_its_version(
    link_stage: Stage[Any], link_store: LinkStore, new_id: NewId
) -> None:
    product, a = new_id("p"), new_id("a")
    gone = tombstone(product, 5)
    await outcomes_of(link_stage, [link_set(product, 3, [a])])
    assert await outcomes_of(link_stage, [gone]) == [Applied()]
    (outcome,) = await outcomes_of(link_stage, [link_set(product, 4, [a])])
    assert_superseded(outcome, by=5)
    assert await link_store.links_of([product]) == {product: gone}
    assert await linked(link_store, a) == set()
    assert [links async for links in link_store.scan_links() if links.id == product] == [gone]


async def test_an_older_set_after_the_tombstone_of_an_unknown_product_is_superseded(
    link_stage: Stage[Any], link_store: LinkStore, new_id: NewId
) -> None:
    product, a = new_id("never-seen"), new_id("a")
    assert await outcomes_of(link_stage, [tombstone(product, 5)]) == [Applied()]
    (outcome,) = await outcomes_of(link_stage, [link_set(product, 4, [a])])
    assert_superseded(outcome, by=5)
    assert await linked(link_store, a) == set()


async def test_an_older_tombstone_after_a_newer_set_is_superseded(
    link_stage: Stage[Any], link_store: LinkStore, new_id: NewId
) -> None:
    product, a = new_id("p"), new_id("a")
    new = link_set(product, 5, [a])
    await outcomes_of(link_stage, [new])
    (outcome,) = await outcomes_of(link_stage, [tombstone(product, 4)])
    assert_superseded(outcome, by=5)
    assert await link_store.links_of([product]) == {product: new}


async def test_a_product_created_again_has_only_its_new_links(
    link_stage: Stage[Any], link_store: LinkStore, new_id: NewId
) -> None:
    product, a, b = map(new_id, ("p", "a", "b"))
    again = link_set(product, 3, [b])
    for links in (link_set(product, 1, [a, b]), tombstone(product, 2), again):
        assert await outcomes_of(link_stage, [links]) == [Applied()]
    assert await link_store.links_of([product]) == {product: again}
    assert await linked(link_store, a, b) == {b}


async def test_an_empty_set_keeps_its_version(link_stage: Stage[Any], link_store: LinkStore, new_id: NewId) -> None:
    product, a = new_id("p"), new_id("a")
    empty = link_set(product, 4, [])
    for links in (link_set(product, 2, [a]), empty):
        assert await outcomes_of(link_stage, [links]) == [Applied()]
    (outcome,) = await outcomes_of(link_stage, [link_set(product, 3, [a])])
    assert_superseded(outcome, by=4)
    assert await link_store.links_of([product]) == {product: empty}
    assert await linked(link_store, a) == set()


@pytest.mark.parametrize(("older", "newer"), NEIGHBOURS)
async def test_neighbouring_link_versions_are_distinguished_in_both_orders(
    link_stage: Stage[Any], link_store: LinkStore, new_id: NewId, older: int, newer: int
) -> None:
    rising, falling, a, b = map(new_id, ("rising", "falling", "a", "b"))
    await outcomes_of(link_stage, [link_set(rising, older, [a]), link_set(falling, newer, [b])])
    outcomes = await outcomes_of(link_stage, [link_set(rising, newer, [b]), link_set(falling, older, [a])])
    assert outcomes[0] == Applied()
    assert_superseded(outcomes[1], by=newer)
    expected = [link_set(rising, newer, [b]), link_set(falling, newer, [b])]
    assert await link_store.links_of([rising, falling]) == {links.id: links for links in expected}


async def linked(store: LinkStore, *keyword_ids: str) -> set[str]:
    """Those of the keywords that any product is linked to."""
    await store.refresh()
    return {id for id in keyword_ids if await store.products_of(id, 10)}


def keywords_of(links: ProductLinks) -> set[str]:
    return {link.keyword_id for link in links.links}


def assert_superseded(outcome: Outcome, by: int) -> None:
    assert isinstance(outcome, Superseded)
    assert outcome.by in (None, by)
