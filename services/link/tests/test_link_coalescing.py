"""The cost: many requests for one product are one turn; a bulk load is one turn for each product and one sweep."""

from collections import Counter
from collections.abc import Awaitable, Callable

import numpy as np
import pytest
from harness.linking import Linking

from headrace_clients.kafka import producer
from headrace_link import records
from headrace_worker.stage import Applied, Superseded

pytestmark = pytest.mark.asyncio(loop_scope="module")

NewLinking = Callable[..., Awaitable[Linking]]
PRODUCTS, KEYWORDS = 300, 150
THRESHOLD = 60
random = np.random.default_rng(4)


def vectors(name: str, count: int) -> dict[str, list[float]]:
    return {f"{name}{number}": random.standard_normal(4).tolist() for number in range(count)}


async def test_many_requests_for_one_product_are_one_turn(linking: Linking) -> None:
    await linking.put("keyword", "k", (1, 0, 0, 0))
    await linking.put("product", "p", (1, 0, 0, 0))
    await linking.drain()
    linking.consumer.forget()
    for _ in range(10):
        await linking.request(*["p"] * 100)
    while await linking.consumer.work(at_once=50):
        pass
    # The first batch is one request, and its read covers all that were published before it.
    assert linking.consumer.points.opened == ["p"]
    assert Counter(map(type, linking.consumer.outcomes)) == {Applied: 1, Superseded: 999}
    await linking.check()


async def test_a_request_that_comes_after_the_read_is_not_covered_by_it(linking: Linking) -> None:
    await linking.put("product", "p", (1, 0, 0, 0))
    await linking.drain()
    linking.consumer.forget()

    async def asked_again() -> None:
        await linking.request("p")

    for step in ("open", "read"):
        linking.consumer.hooks.after(step, asked_again)  # type: ignore[arg-type]
    await linking.request("p")
    await linking.drain()
    # One more turn answers both.
    assert linking.consumer.points.opened == ["p", "p"]


async def test_a_failed_turn_covers_nothing(linking: Linking) -> None:
    await linking.put("keyword", "k", (1, 0, 0, 0))
    await linking.put("product", "p", (1, 0, 0, 0))
    await linking.handle_receipts()
    assert await linking.consumer.die_after("read")
    # The same stage gets the same request again.
    await linking.consumer.work()
    assert await linking.linked("p") == ["k"]
    await linking.check()


async def test_products_and_then_keywords_are_one_relink_each_and_one_sweep(new_linking: NewLinking) -> None:
    linking = await new_linking(k=5, sweep_threshold=THRESHOLD)
    await linking.put_many("product", vectors("p", PRODUCTS))
    await linking.drain()
    await linking.put_many("keyword", vectors("k", KEYWORDS))
    await linking.drain()
    assert linking.sweeps == 1
    assert len(linking.consumer.points.opened) == 2 * PRODUCTS
    await linking.check()


async def test_keywords_and_then_products_are_one_relink_each(new_linking: NewLinking) -> None:
    linking = await new_linking(k=5, sweep_threshold=THRESHOLD)
    await linking.put_many("keyword", vectors("k", KEYWORDS))
    await linking.drain()
    await linking.put_many("product", vectors("p", PRODUCTS))
    await linking.drain()
    assert linking.sweeps == 0
    assert len(linking.consumer.points.opened) == PRODUCTS
    await linking.check()


async def test_both_at_once_are_one_relink_each_and_one_sweep(new_linking: NewLinking) -> None:
    linking = await new_linking(k=5, sweep_threshold=THRESHOLD)
    products, keywords = vectors("p", PRODUCTS), vectors("k", KEYWORDS)
    for part in range(10):
        await linking.put_many("product", dict(list(products.items())[part * 30 : part * 30 + 30]))
        await linking.put_many("keyword", dict(list(keywords.items())[part * 15 : part * 15 + 15]))
        await linking.handle_receipts()
    await linking.drain()
    assert len(linking.consumer.points.opened) <= 2 * PRODUCTS
    await linking.check()


async def test_markers_that_wait_together_are_one_sweep(linking: Linking) -> None:
    await linking.put_many("product", vectors("p", 20))
    await linking.drain()
    linking.consumer.forget()
    for _ in range(5):
        await linking.publish([records.sweep(linking.settings.topics.relink)] * 4)
    while await linking.consumer.work(at_once=2):
        pass
    assert len(linking.consumer.points.opened) == 20


async def test_more_keywords_than_a_poll_may_probe_cause_a_sweep_without_a_probe(new_linking: NewLinking) -> None:
    linking = await new_linking(sweep_keywords=10)
    await linking.put("product", "p", (1, 0, 0, 0))
    await linking.drain()
    await linking.put_many("keyword", vectors("k", 11))
    assert (await linking.handle_receipts(), linking.sweeps) == (1, 1)
    await linking.drain()
    await linking.check()


async def test_single_keywords_that_concern_very_many_products_cause_a_sweep(
    new_linking: NewLinking,
) -> None:
    linking = await new_linking(k=50, sweep_threshold=25)
    await linking.put_many("product", vectors("p", 10))
    await linking.drain()
    for id, vector in vectors("k", 6).items():
        # There are fewer keywords than K, so each concerns every product.
        await linking.put("keyword", id, vector)
        await linking.handle_receipts()
        await linking.consumer.work()
    assert linking.sweeps == 4
    await linking.drain()
    await linking.check()


async def _publish_keywords(linking: Linking, count: int) -> None:
    """Publishes keywords that no worker has handled yet."""
    client = producer(linking.settings.kafka)
    await client.start()
    try:
        for number in range(count):
            await client.send(linking.settings.topics.source("keyword"), b"{}", key=str(number).encode())
        await client.flush()
    finally:
        await client.stop()


async def test_the_first_keywords_of_a_bulk_load_predict_the_others(new_linking: NewLinking) -> None:
    linking = await new_linking(k=5, sweep_threshold=THRESHOLD)
    await linking.put_many("product", vectors("p", 20))
    await linking.drain()
    await _publish_keywords(linking, 100)
    await linking.put("keyword", "first", (1, 0, 0, 0))
    assert (await linking.handle_receipts(), linking.sweeps) == (1, 1)
    await linking.drain()
    await linking.check()


async def test_many_keywords_that_concern_no_product_cause_no_sweep(new_linking: NewLinking) -> None:
    linking = await new_linking(k=2, sweep_threshold=THRESHOLD)
    keywords = vectors("k", KEYWORDS)
    await linking.put_many("keyword", keywords)
    await linking.put_many("product", vectors("p", 20))
    await linking.drain()
    await _publish_keywords(linking, 1000)
    await linking.put_many("keyword", keywords)
    assert (await linking.handle_receipts(), linking.sweeps) == (0, 0)
