"""Requests that come in large numbers have a topic of their own, so that the others do not wait behind them."""

import pytest
from harness.linking import Linking

from headrace_link import receipts

pytestmark = pytest.mark.asyncio(loop_scope="module")

FEW = 3


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(receipts, "FEW_PRODUCTS", FEW)


async def topics_of(linking: Linking) -> dict[str, set[str]]:
    """The products that are requested on each topic, by its name without the prefix and the model."""
    found: dict[str, set[str]] = {}
    for asked in await linking.consumer.waiting():
        found.setdefault(asked.arrival.topic.split(".")[1], set()).add(asked.id)
    return found


async def test_a_keyword_that_concerns_many_products_does_not_delay_the_others(linking: Linking) -> None:
    many = {f"m{number}": (1.0, number / 50, 0.0, 0.0) for number in range(FEW)}
    await linking.put_many("product", many | {"far": (0.0, 0.0, 1.0, 0.0)})
    await linking.drain()
    assert linking.sweeps == 0
    for keyword in ("a", "b"):
        await linking.put("keyword", keyword, (1, 0, 0.1, 0))
        await linking.handle_receipts()
        assert await topics_of(linking) == {"relink-bulk": {*many, "far"}}
        await linking.drain()
    await linking.put("keyword", "c", (1, 0, 0, 0))
    await linking.handle_receipts()
    assert await topics_of(linking) == {"relink": set(many)}
    await linking.drain()
    await linking.check()


async def test_a_product_that_changed_is_not_requested_in_bulk(linking: Linking) -> None:
    many = {f"m{number}": (1.0, number / 50, 0.0, 0.0) for number in range(FEW + 2)}
    await linking.put_many("product", many)
    await linking.drain()
    await linking.put("keyword", "a", (1, 0, 0, 0))
    await linking.put("product", "m1", (0, 1, 0, 0))
    await linking.handle_receipts()
    assert await topics_of(linking) == {"relink": {"m1"}, "relink-bulk": {*many} - {"m1"}}
    await linking.drain()
    await linking.check()


async def test_a_sweep_makes_its_requests_in_bulk(linking: Linking) -> None:
    await linking.put_many("product", {"p": (1, 0, 0, 0), "q": (0, 1, 0, 0)})
    await linking.drain()
    await linking.sweep()
    await linking.consumer.work(at_once=1)
    assert await topics_of(linking) == {"relink-bulk": {"p", "q"}}
    await linking.drain()


async def test_a_read_for_one_topic_answers_no_request_of_the_other_by_its_offset(linking: Linking) -> None:
    """The offsets of two topics have nothing to do with each other."""
    await linking.put("product", "p", (1, 0, 0, 0))
    await linking.drain()
    await linking.request(*["p"] * 50)
    await linking.consumer.work()
    await linking.lose_receipts(linking.put("keyword", "k", (1, 0, 0, 0)))
    await linking.sweep(bulk=True)
    await linking.drain()
    assert await linking.linked("p") == ["k"]
