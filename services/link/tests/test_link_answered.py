"""Which requests a finished turn answers while other consumers of the partition continue or die."""

import asyncio

import pytest
import pytest_asyncio
from harness.linking import Linking
from harness.records import eventually

from headrace_link.factory import open_stage

pytestmark = pytest.mark.asyncio(loop_scope="module")

P, NEAR, FAR = (1, 0, 0, 0), (1, 0.1, 0, 0), (0.2, 1, 0, 0)


@pytest_asyncio.fixture(loop_scope="module")
async def requested(linking: Linking) -> Linking:
    """A product that is linked, with another request for it on the topic."""
    await linking.put("keyword", "far", FAR)
    await linking.put("product", "p", P)
    await linking.drain()
    await linking.request("p")
    return linking


async def test_an_old_consumer_that_opens_after_another_and_reads_before_it(requested: Linking) -> None:
    """It publishes the older set with the higher version. The other consumer has read the new keyword, but the stores
    drop its set, so its turn does not answer the request that the keyword caused.
    """
    turn = requested.consumer.pause_after("open")
    assert await turn.reached()
    old_turn = requested.new_consumer().pause_after("read")
    assert await old_turn.reached()
    await requested.put("keyword", "near", NEAR)
    assert await requested.handle_receipts() == 1
    await turn.resume()
    await old_turn.resume()
    await requested.drain()
    await requested.check()


async def test_a_point_whose_consumer_died_after_an_earlier_turn_had_answered_the_request(requested: Linking) -> None:
    """The consumer of the earlier turn gets the partition again and skips the request, so the point stays open."""
    await requested.request("p")
    await requested.consumer.work(1)
    assert await requested.new_consumer().die_after("open")
    await requested.drain()
    assert await requested.open_products() == {"p"}
    await requested.find_open_points()
    await requested.drain()
    await requested.check()


async def test_a_point_that_an_old_consumer_opened_during_the_turn_and_never_closed(requested: Linking) -> None:
    """The set of the turn is published, and the point keeps the set before it until it is found open."""
    await requested.put("keyword", "near", NEAR)
    assert await requested.handle_receipts() == 1
    turn = requested.consumer.pause_after("publish")
    assert await turn.reached()
    assert await requested.new_consumer().die_after("open")
    await turn.resume()
    await requested.drain()
    await requested.check_published()
    assert await requested.open_products() == {"p"}
    await requested.find_open_points()
    await requested.drain()
    await requested.check()


async def test_a_worker_requests_a_point_once_that_stays_open(
    requested: Linking, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert await requested.new_consumer().die_after("open")
    await requested.consumer.skip()
    monkeypatch.setattr("headrace_link.open_points.LOOK_SECONDS", 0.05)
    async with open_stage(requested.settings):
        await eventually(requested.consumer.waiting)
        await asyncio.sleep(0.3)
    assert [one.id for one in await requested.consumer.waiting()] == ["p"]
    assert await requested.consumer.work() == 1
    await requested.check()
