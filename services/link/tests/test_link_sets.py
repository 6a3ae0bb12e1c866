"""A product is linked to its K nearest live keywords, and to no other."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from harness.linking import Linking

pytestmark = pytest.mark.asyncio(loop_scope="module")

P = (1, 0, 0, 0)
NEAR, CLOSE, FAR, OPPOSITE = (1, 0.1, 0, 0), (1, 0.5, 0, 0), (0.2, 1, 0, 0), (-1, 0, 0, 0.1)
NewLinking = Callable[..., Awaitable[Linking]]


async def put(linking: Linking, **keywords: Any) -> None:
    """Keywords by id and vector."""
    for id, vector in keywords.items():
        await linking.put("keyword", id, vector)


async def test_a_product_is_linked_to_its_k_nearest_keywords_best_first(linking: Linking) -> None:
    await put(linking, far=FAR, near=NEAR, close=CLOSE, opposite=OPPOSITE)
    await linking.put("product", "p", P)
    await linking.drain()
    assert await linking.linked("p") == ["near", "close"]
    await linking.check()


@pytest.mark.parametrize("order", [("opposite", "far", "near"), ("near", "far", "opposite")], ids="-".join)
async def test_a_product_with_fewer_keywords_than_k_gets_every_new_keyword(
    linking: Linking, order: tuple[str, ...]
) -> None:
    vectors = {"opposite": OPPOSITE, "far": FAR, "near": NEAR}
    await linking.put("product", "p", P)
    await linking.drain()
    assert await linking.linked("p") == []
    for id in order:
        await linking.put("keyword", id, vectors[id])
        await linking.drain()
        await linking.check()
    assert await linking.linked("p") == ["near", "far"]


async def test_a_keyword_above_the_floor_replaces_the_last(linking: Linking) -> None:
    await put(linking, far=FAR, near=NEAR)
    await linking.put("product", "p", P)
    await linking.drain()
    await put(linking, close=CLOSE)
    await linking.drain()
    assert await linking.linked("p") == ["near", "close"]
    await linking.check()


async def test_a_keyword_below_the_floor_concerns_no_product(linking: Linking) -> None:
    await put(linking, close=CLOSE, near=NEAR)
    await linking.put("product", "p", P)
    await linking.drain()
    linking.consumer.points.opened.clear()
    await put(linking, far=FAR)
    assert await linking.handle_receipts() == 0
    await linking.drain()
    assert linking.consumer.points.opened == []
    await linking.check()


async def test_a_score_equal_to_the_floor_requests_the_product_and_either_may_be_linked(linking: Linking) -> None:
    await put(linking, near=NEAR, left=(1, 0.5, 0, 0))
    await linking.put("product", "p", P)
    await linking.drain()
    # The same cosine in another direction.
    await put(linking, right=(1, 0, 0.5, 0))
    assert await linking.handle_receipts() == 1
    await linking.drain()
    links = await linking.linked("p")
    assert links is not None
    assert (links[0], links[1] in ("left", "right")) == ("near", True)
    await linking.check()


async def test_no_link_scores_below_min_score(new_linking: NewLinking) -> None:
    linking = await new_linking(k=3, min_score=0.5)
    await put(linking, near=NEAR, close=CLOSE, far=FAR, opposite=OPPOSITE)
    await linking.put("product", "p", P)
    await linking.drain()
    assert await linking.linked("p") == ["near", "close"]
    await linking.check()


async def test_a_keyword_below_min_score_concerns_no_product_with_fewer_than_k_links(new_linking: NewLinking) -> None:
    linking = await new_linking(k=3, min_score=0.5)
    await linking.put("product", "p", P)
    await linking.drain()
    await put(linking, far=FAR)
    assert await linking.handle_receipts() == 0
    await put(linking, near=NEAR)
    assert await linking.handle_receipts() == 1
    await linking.drain()
    assert await linking.linked("p") == ["near"]
    await linking.check()


async def test_a_keyword_that_scores_exactly_min_score_may_be_a_link_or_not(new_linking: NewLinking) -> None:
    linking = await new_linking(k=3, min_score=0.6)
    await linking.put("product", "p", P)
    await linking.drain()
    await put(linking, edge=(0.6, 0.8, 0, 0))
    assert await linking.handle_receipts() == 1
    await linking.drain()
    await linking.check()


async def test_a_deleted_keyword_leaves_every_set_and_makes_room(linking: Linking) -> None:
    await put(linking, near=NEAR, close=CLOSE, far=FAR)
    for id in ("p", "q"):
        await linking.put("product", id, P)
    await linking.drain()
    await linking.delete("keyword", "near")
    assert await linking.handle_receipts() == 2
    await linking.drain()
    assert [await linking.linked(id) for id in ("p", "q")] == [["close", "far"]] * 2
    await linking.check()


async def test_a_deleted_product_leaves_a_tombstone_that_no_keyword_finds(linking: Linking) -> None:
    await put(linking, near=NEAR)
    await linking.put("product", "p", P)
    await linking.drain()
    await linking.delete("product", "p")
    await linking.drain()
    assert (await linking.published())["p"].deleted
    await put(linking, close=CLOSE)
    assert await linking.handle_receipts() == 0
    await linking.put("product", "p", P)
    await linking.drain()
    assert await linking.linked("p") == ["near", "close"]
    await linking.check()


async def test_a_product_that_is_created_again_unchanged_is_linked_again(linking: Linking) -> None:
    await put(linking, near=NEAR)
    for _ in range(2):
        await linking.put("product", "p", P)
        await linking.drain()
        assert await linking.linked("p") == ["near"]
        await linking.delete("product", "p")
        await linking.drain()
    await linking.check()


async def test_a_change_of_white_space_alone_changes_the_links(linking: Linking) -> None:
    await put(linking, near=NEAR)
    await linking.put("product", "p", P, "A lamp")
    await linking.drain()
    # The embedded text and the vector stay the same; the text that readers see changes.
    await linking.rename("product", "p", "A  lamp")
    await linking.drain()
    assert (await linking.published())["p"].title == "A  lamp"
    await linking.rename("keyword", "near", "near  it")
    await linking.drain()
    assert (await linking.published())["p"].links[0].text == "near  it"
    await linking.check()


@pytest.mark.parametrize("kind", ["product", "keyword"])
async def test_a_change_of_price_or_popularity_relinks_nothing(linking: Linking, kind: Any) -> None:
    await put(linking, near=NEAR, close=CLOSE, far=FAR)
    for id in ("p", "q"):
        await linking.put("product", id, P, "the same text")
    await linking.drain()
    before = await linking.published()
    linking.consumer.points.opened.clear()
    if kind == "product":
        for id in ("p", "q"):
            await linking.put("product", id, P, "the same text", price=9.5)
    else:
        for id, vector in {"near": NEAR, "close": CLOSE, "far": FAR}.items():
            await linking.put("keyword", id, vector, popularity=0.5)
    assert await linking.handle_receipts() == 0
    await linking.drain()
    assert linking.consumer.points.opened == []
    assert await linking.published() == before


async def test_an_unchanged_link_set_is_not_published_again(linking: Linking) -> None:
    await put(linking, near=NEAR)
    await linking.put("product", "p", P)
    await linking.drain()
    before = await linking.published()
    await linking.request("p")
    await linking.drain()
    assert linking.consumer.points.opened == ["p", "p"]
    assert await linking.published() == before
    await linking.check()


async def test_a_set_that_is_lost_from_qdrant_is_published_above_the_stored_version(linking: Linking) -> None:
    await put(linking, near=NEAR)
    await linking.put("product", "p", P)
    await linking.drain()
    await linking.empty_collection()
    await put(linking, close=CLOSE)
    await linking.drain()
    await linking.request("p")
    await linking.drain()
    assert await linking.linked("p") == ["near", "close"]
    await linking.check()
