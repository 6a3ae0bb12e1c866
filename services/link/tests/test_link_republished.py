"""An explicit request publishes a link set that has not changed, for stores that have lost it."""

from collections.abc import Awaitable, Callable

import pytest
import pytest_asyncio
from harness.link_consumer import STEPS, Died
from harness.linking import Linking

from headrace_link import sweeps
from headrace_schemas.topics import Topics
from headrace_worker.expired_links import sweep_for_expired
from headrace_worker.stage import Output

pytestmark = pytest.mark.asyncio(loop_scope="module")

P, Q, NEAR = (1, 0, 0, 0), (0.9, 0, 0.4, 0), (1, 0.1, 0, 0)
Ask = Callable[[Linking], Awaitable[None]]


async def ask_for_p(linking: Linking) -> None:
    await linking.request("p", republish=True)


async def ask_for_all(linking: Linking) -> None:
    await linking.sweep(republish=True)


@pytest_asyncio.fixture(loop_scope="module")
async def linked(linking: Linking) -> Linking:
    """Two products that are linked, and one that is deleted."""
    await linking.put("keyword", "near", NEAR)
    for id in ("p", "q", "gone"):
        await linking.put("product", id, P)
    await linking.drain()
    await linking.delete("product", "gone")
    await linking.drain()
    linking.consumer.forget()
    return linking


async def test_a_lost_set_comes_back_by_an_explicit_request_and_by_no_other(linked: Linking) -> None:
    before = await linked.published()
    await linked.lose_published()
    await linked.request("p")
    await linked.sweep()
    await linked.drain()
    assert await linked.published() == {}
    await linked.request("p", republish=True)
    await linked.drain()
    after = await linked.published()
    assert set(after) == {"p"}
    assert after["p"].version > before["p"].version
    await linked.sweep(republish=True)
    await linked.drain()
    assert await linked.linked("q") == ["near"]
    await linked.check()


@pytest.mark.parametrize("part_size", [1000, 1], ids=["whole", "in parts"])
async def test_every_lost_set_comes_back_by_an_explicit_sweep(
    linked: Linking, monkeypatch: pytest.MonkeyPatch, part_size: int
) -> None:
    monkeypatch.setattr(sweeps, "PART", part_size)
    await linked.lose_published()
    await linked.sweep(republish=True)
    await linked.drain()
    assert {id: links.deleted for id, links in (await linked.published()).items()} == {
        "p": False,
        "q": False,
        "gone": True,
    }
    assert sorted(linked.consumer.points.opened) == ["gone", "p", "q"]
    await linked.check()


@pytest.mark.parametrize("at_once", [1, 2, 100])
async def test_no_other_request_for_the_product_answers_an_explicit_one(linked: Linking, at_once: int) -> None:
    for order in ((True, False, False), (False, True, False), (False, False, True)):
        await linked.lose_published()
        for republish in order:
            await linked.request("p", republish=republish)
        while await linked.consumer.work(at_once):
            pass
        assert await linked.linked("p") == ["near"], order


async def test_an_explicit_request_that_comes_during_a_turn_that_publishes_nothing_is_answered(linked: Linking) -> None:
    async def lost_and_asked() -> None:
        await linked.lose_published()
        await linked.request("p", republish=True)

    for step in ("look", "open", "read", "close"):
        await linked.request("p")
        assert await linked.consumer.interrupt(step, lost_and_asked)  # type: ignore[arg-type]
        assert await linked.linked("p") is None
        await linked.drain()
        assert await linked.linked("p") == ["near"], step


@pytest.mark.parametrize("ask", [ask_for_p, ask_for_all], ids=["request", "sweep"])
async def test_a_consumer_that_dies_in_an_explicit_turn_is_followed_by_another(linked: Linking, ask: Ask) -> None:
    for step in STEPS:
        await linked.lose_published()
        await ask(linked)
        if ask is ask_for_all:
            await linked.consumer.work()
        assert await linked.new_consumer().die_after(step)
        await linked.drain()
        assert await linked.linked("p") == ["near"], step
    assert await linked.open_products() == set()


async def test_an_explicit_turn_answers_the_other_requests_of_its_batch(linked: Linking) -> None:
    await linked.request("p", republish=True)
    await linked.put("keyword", "nearer", P)
    await linked.handle_receipts()
    await linked.request("p")
    await linked.consumer.work()
    assert await linked.linked("p") == ["nearer", "near"]
    assert linked.consumer.points.opened.count("p") == 1


def expired(topics: Topics, first: int) -> list[Output]:
    return sweep_for_expired(topics, {(topics.product_links, 0): first, (topics.source("product"), 0): 7})


async def test_workers_that_miss_the_same_sets_cause_one_sweep(linked: Linking) -> None:
    topics = linked.settings.topics
    assert sweep_for_expired(topics, {(topics.source("product"), 0): 7}) == []
    await linked.lose_published()
    await linked.publish(expired(topics, 1))
    await linked.publish(expired(topics, 2))
    await linked.drain()
    # A worker that starts after the sweep has begun, and reads from a later offset.
    await linked.publish(expired(topics, 3))
    await linked.drain()
    assert sorted(linked.consumer.points.opened) == ["gone", "p", "q"]
    assert await linked.linked("q") == ["near"]
    await linked.check()


async def test_a_sweep_that_is_done_already_does_not_answer_others_of_its_batch(linked: Linking) -> None:
    topics = linked.settings.topics
    await linked.publish(expired(topics, 1))
    await linked.drain()
    for ask in (linked.sweep(republish=True), linked.publish(expired(topics, 1_000_000))):
        await linked.lose_published()
        await ask
        await linked.publish(expired(topics, 1))
        await linked.drain()
        assert await linked.linked("p") == ["near"]


async def test_sets_that_expired_after_a_sweep_cause_another(linked: Linking) -> None:
    topics = linked.settings.topics
    await linked.publish(expired(topics, 1))
    await linked.drain()
    linked.consumer.forget()
    await linked.publish(expired(topics, 1_000_000))
    await linked.drain()
    assert sorted(linked.consumer.points.opened) == ["gone", "p", "q"]


async def test_a_sweep_that_a_reader_asks_for_after_another_failed_is_done(linked: Linking) -> None:
    topics = linked.settings.topics
    await linked.lose_published()
    await linked.publish(expired(topics, 1))
    dying = linked.new_consumer()

    async def die(outputs: object) -> None:
        raise Died

    dying.publisher.send = die
    with pytest.raises(Died):
        await dying.work()
    await linked.publish(expired(topics, 1))
    while await dying.waiting():
        dying.publisher.send = linked.publish
        await dying.work()
    assert await linked.linked("p") == ["near"]
