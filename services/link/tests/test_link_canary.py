"""The canary product is linked to the canary keyword and to nothing else, and no other product to that keyword."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from harness.linking import Linking

from headrace_schemas.canary import CANARY_ID, canary_text

pytestmark = pytest.mark.asyncio(loop_scope="module")

P, NEAR = (1, 0, 0, 0), (1, 0.1, 0, 0)
NewLinking = Callable[..., Awaitable[Linking]]


async def put_canary(linking: Linking, version: int, *, keyword: Any = P, product: Any = P) -> None:
    await linking.put("keyword", CANARY_ID, keyword, canary_text(version))
    await linking.put("product", CANARY_ID, product, canary_text(version))


async def test_links_to_and_from_the_canary_stay_apart_from_those_of_users(linking: Linking) -> None:
    await linking.put("keyword", "near", NEAR)
    await linking.put("product", "p", P)
    await put_canary(linking, 1)
    await linking.drain()
    assert await linking.linked("p") == ["near"]
    assert await linking.linked(CANARY_ID) == [CANARY_ID]
    assert await linking.links.linked_canary_version() == 1
    assert {links.product_id async for links in linking.links.scan_links()} == {"p"}
    assert await linking.links.products_of(CANARY_ID, 10) == []
    assert await linking.links.product_count(CANARY_ID) == 0
    assert await linking.links.product_count("near") == 1
    assert (await linking.links.links_of([CANARY_ID]))[CANARY_ID].deleted
    assert await linking.open_products() == set()


async def test_every_change_of_the_canary_is_linked_and_concerns_no_product_of_users(linking: Linking) -> None:
    """Each product here has fewer than K links, so that any keyword of users would concern it."""
    await linking.put("keyword", "near", NEAR)
    await linking.put("product", "p", P)
    await linking.drain()
    for version in (1, 2):
        await put_canary(linking, version)
        assert await linking.handle_receipts() == 1, "the canary product alone is requested"
        await linking.drain()
        assert await linking.links.linked_canary_version() == version
    await linking.put("keyword", CANARY_ID, P, canary_text(3))
    await linking.drain()
    assert await linking.links.linked_canary_version() == 3
    await linking.delete("keyword", CANARY_ID)
    await linking.drain()
    assert await linking.links.linked_canary_version() is None
    assert await linking.linked(CANARY_ID) == []
    await linking.delete("product", CANARY_ID)
    await linking.drain()
    assert await linking.linked(CANARY_ID) is None


async def test_a_keyword_of_users_does_not_concern_the_canary(linking: Linking) -> None:
    await put_canary(linking, 1)
    await linking.put("product", "p", P)
    await linking.drain()
    await linking.put("keyword", "near", NEAR)
    assert await linking.handle_receipts() == 1, "p alone is requested"
    await linking.drain()
    assert await linking.linked(CANARY_ID) == [CANARY_ID]


async def test_the_canary_is_linked_alone_in_the_store_and_below_the_least_score(new_linking: NewLinking) -> None:
    linking = await new_linking(min_score=0.9)
    await put_canary(linking, 1, keyword=(0, 1, 0, 0))
    await linking.drain()
    assert await linking.links.linked_canary_version() == 1
    await linking.put("keyword", CANARY_ID, (0, 0, 1, 0), canary_text(2))
    await linking.drain()
    assert await linking.links.linked_canary_version() == 2
