"""Link sets with long texts are published with shorter ones, and a set that is too large stops no other."""

from collections.abc import Awaitable, Callable

import pytest
from harness.linking import Linking

from headrace_schemas.fields import MAX_ID_BYTES
from headrace_worker.stage import Applied, Rejected

pytestmark = pytest.mark.asyncio(loop_scope="module")

NewLinking = Callable[..., Awaitable[Linking]]
K = 32
P, Q, NEAR = (1, 0, 0, 0), (0, 1, 0, 0), (1, 0.1, 0, 0)


async def test_long_texts_that_are_stored_already_are_cut_in_link_sets(new_linking: NewLinking) -> None:
    linking = await new_linking(k=K)
    await linking.put_many("keyword", {f"k{number}": (1, number / 100, 0, 0) for number in range(K)})
    for number in range(K):
        await linking.store_text("keyword", f"k{number}", f"{number} " + "보" * 25_000)
    await linking.put("product", "p", P)
    await linking.store_text("product", "p", "병" * 700_000)
    await linking.drain()
    links = (await linking.published())["p"]
    assert [link.keyword_id for link in links.links] == [f"k{number}" for number in range(K)]
    assert [link.text for link in links.links] == [(f"{number} " + "보" * 1000)[:1000] for number in range(K)]
    assert links.title == "병" * 10_000
    assert {type(outcome) for outcome in linking.consumer.outcomes} == {Applied}

    linking.consumer.forget()
    await linking.put("product", "p", P, price=9.5)
    await linking.store_text("product", "p", "병" * 700_000)
    assert await linking.handle_receipts() == 0
    await linking.store_text("keyword", "k1", "1 " + "보" * 998 + "온")
    await linking.request("p")
    await linking.drain()
    # What readers see has not changed.
    assert (await linking.published())["p"] == links


async def test_a_set_whose_ids_alone_are_too_large_is_one_dead_letter_and_stops_no_other(
    new_linking: NewLinking,
) -> None:
    linking = await new_linking(k=5)
    linking.settings.kafka.max_record_bytes = 1024
    linking.consumer = linking.new_consumer()
    await linking.put_many("keyword", {str(number) * MAX_ID_BYTES: NEAR for number in range(4)})
    await linking.put("keyword", "short", Q)
    await linking.put("product", "p", P)
    await linking.handle_receipts()
    await linking.request("never")
    await linking.consumer.work()
    outcomes = linking.consumer.outcomes
    [rejected] = [outcome for outcome in outcomes if isinstance(outcome, Rejected)]
    assert (rejected.reason, rejected.may_hold) == ("too_large", False)
    assert "more than the 2048 that its topic accepts" in rejected.detail
    assert sum(outcome == Applied() for outcome in outcomes) == len(outcomes) - 1
    assert set(await linking.published()) == {"never"}
    # The next change of a keyword does not request the product again if it does not belong to its set.
    assert await linking.open_products() == set()
    # A larger limit: the next request publishes the set, although it has not changed.
    linking.settings.kafka.max_record_bytes = 1024 * 1024
    linking.consumer = linking.new_consumer()
    await linking.request("p")
    await linking.drain()
    links = await linking.published()
    assert links.keys() == {"never", "p"}
    assert len(links["p"].links) == 5
