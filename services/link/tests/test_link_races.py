"""Every moment at which a change can fall into a turn of the protocol, on real servers: in the end the links are right.

What a test makes happen after a step, happens between that step and the next.
"""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
import pytest_asyncio
from harness.linking import STEPS, Linking, Paused, Step

pytestmark = pytest.mark.asyncio(loop_scope="module")

P, Q = (1, 0, 0, 0), (0.9, 0, 0.4, 0)
NEAR, CLOSE, FAR = (1, 0.1, 0, 0), (1, 0.5, 0, 0), (0.2, 1, 0, 0)

Change = Callable[[Linking], Awaitable[None]]


async def a_keyword_comes(linking: Linking) -> None:
    await linking.put("keyword", "near", NEAR)


async def a_keyword_goes(linking: Linking) -> None:
    await linking.delete("keyword", "close")


async def a_keyword_is_reworded(linking: Linking) -> None:
    await linking.put("keyword", "close", (-1, 0.2, 0, 0), "something else")


async def a_keyword_goes_and_comes_back(linking: Linking) -> None:
    await linking.delete("keyword", "close")
    await linking.put("keyword", "close", CLOSE)


async def the_product_goes(linking: Linking) -> None:
    await linking.delete("product", "p")


async def the_product_is_reworded(linking: Linking) -> None:
    await linking.put("product", "p", FAR)


async def the_product_goes_and_comes_back(linking: Linking) -> None:
    await linking.delete("product", "p")
    await linking.put("product", "p", P)


async def both_sides_change(linking: Linking) -> None:
    await linking.put("keyword", "near", NEAR)
    await linking.put("product", "p", Q)
    await linking.delete("keyword", "far")


CHANGES: tuple[Change, ...] = (
    a_keyword_comes,
    a_keyword_goes,
    a_keyword_is_reworded,
    a_keyword_goes_and_comes_back,
    the_product_goes,
    the_product_is_reworded,
    the_product_goes_and_comes_back,
    both_sides_change,
)
steps = pytest.mark.parametrize("step", STEPS)
changes = pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)


@pytest_asyncio.fixture(loop_scope="module")
async def asked(linking: Linking) -> Linking:
    """A product that is linked, with another request for it on the topic."""
    await linking.put("keyword", "far", FAR)
    await linking.put("keyword", "close", CLOSE)
    await linking.put("product", "p", P)
    await linking.quiet()
    await linking.ask("p")
    return linking


@changes
@steps
async def test_a_change_that_is_heard_of_at_once(asked: Linking, step: Step, change: Change) -> None:
    async def visible_and_heard() -> None:
        await change(asked)
        await asked.hear()

    asked.consumer.hooks.after(step, visible_and_heard)
    await asked.consumer.work()
    await asked.quiet()
    await asked.check()


@changes
@steps
async def test_a_change_whose_receipt_comes_late(asked: Linking, step: Step, change: Change) -> None:
    asked.consumer.hooks.after(step, lambda: change(asked))
    await asked.consumer.work()
    await asked.quiet()
    await asked.check()


@changes
@steps
async def test_the_consumer_dies_and_another_takes_over(asked: Linking, step: Step, change: Change) -> None:
    dying = await asked.new_consumer()
    await dying.die_after(step)
    await change(asked)
    await asked.quiet()
    await asked.check()


@changes
@steps
async def test_a_change_during_a_turn_that_is_never_finished(asked: Linking, step: Step, change: Change) -> None:
    """The one that dies had lost its partition: nobody owes its turn."""
    old = await asked.new_consumer()
    paused = Paused(old, step)
    going_on = asyncio.create_task(old.work())
    await paused.reached.wait()
    await asked.consumer.work()
    await change(asked)
    going_on.cancel()
    await asyncio.gather(going_on, return_exceptions=True)
    await asked.quiet()
    await asked.check()


@changes
@steps
async def test_an_old_consumer_goes_on_after_a_rebalance(asked: Linking, step: Step, change: Change) -> None:
    old = await asked.new_consumer()
    paused = Paused(old, step)
    going_on = asyncio.create_task(old.work())
    await paused.reached.wait()
    await change(asked)
    await asked.quiet()
    paused.go_on.set()
    await going_on
    await asked.quiet()
    await asked.check()


@steps
@pytest.mark.parametrize("new_step", STEPS)
async def test_two_consumers_that_wait_for_each_other_at_any_two_steps(
    asked: Linking, step: Step, new_step: Step
) -> None:
    old, new = await asked.new_consumer(), await asked.new_consumer()
    old_paused = Paused(old, step)
    old_turn = asyncio.create_task(old.work())
    await old_paused.reached.wait()
    new_paused = Paused(new, new_step)
    new_turn = asyncio.create_task(new.work())
    await new_paused.reached.wait()
    await a_keyword_comes(asked)
    await asked.hear()
    old_paused.go_on.set()
    await old_turn
    new_paused.go_on.set()
    await new_turn
    await asked.quiet()
    await asked.check()


@steps
async def test_a_product_that_is_new_to_two_consumers_at_once(linking: Linking, step: Step) -> None:
    await linking.put("keyword", "close", CLOSE)
    await linking.put("product", "p", P)
    await linking.hear()
    old = await linking.new_consumer()
    paused = Paused(old, step)
    going_on = asyncio.create_task(old.work())
    await paused.reached.wait()
    await linking.put("keyword", "near", NEAR)
    await linking.consumer.work()
    paused.go_on.set()
    await going_on
    await linking.quiet()
    await linking.check()


async def test_a_point_that_opens_between_the_looks_of_a_keyword_and_is_never_closed(asked: Linking) -> None:
    """What the model found: the holders are looked up, the point opens, its floor is gone, and its writer dies."""
    listener = asked.new_listener()
    await asked.consumer.work()
    old = await asked.new_consumer()
    await a_keyword_comes(asked)
    looked_up, let_go = asyncio.Event(), asyncio.Event()
    lookup = listener.points.open_or_outdated

    async def looked(contents: dict[str, str | None]) -> set[str]:
        found = await lookup(contents)
        looked_up.set()
        await let_go.wait()
        return found

    listener.points.open_or_outdated = looked  # type: ignore[method-assign,assignment]
    hearing = asyncio.create_task(asked.hear(listener=listener))
    await looked_up.wait()
    await old.die_after("open")
    let_go.set()
    assert await hearing == 1
    await asked.quiet()
    await asked.check()
