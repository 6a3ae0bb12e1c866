"""Changes, deaths and rebalances between any two steps of the link protocol: at the end the links are correct.

A test's code that runs after a step runs between this step and the next. Each test asserts that its interruption took
place, or it would pass without one.

A scenario runs at the steps where its interruption differs. Only `read` reads products and keywords; only `open` and
`close` write what the handling of receipts reads; `look` and `read` write nothing.
"""

import time
from collections.abc import Awaitable, Callable

import pytest
import pytest_asyncio
from harness.link_consumer import STEPS, Hooks, Step
from harness.linking import Linking

pytestmark = pytest.mark.asyncio(loop_scope="module")

P, Q = (1, 0, 0, 0), (0.9, 0, 0.4, 0)
NEAR, CLOSE, FAR = (1, 0.1, 0, 0), (1, 0.5, 0, 0), (0.2, 1, 0, 0)

Change = Callable[[Linking], Awaitable[None]]


async def new_keyword(linking: Linking) -> None:
    await linking.put("keyword", "near", NEAR)


async def deleted_keyword(linking: Linking) -> None:
    await linking.delete("keyword", "close")


async def reworded_keyword(linking: Linking) -> None:
    await linking.put("keyword", "close", (-1, 0.2, 0, 0), "something else")


async def recreated_keyword(linking: Linking) -> None:
    await linking.delete("keyword", "close")
    await linking.put("keyword", "close", CLOSE)


async def deleted_product(linking: Linking) -> None:
    await linking.delete("product", "p")


async def reworded_product(linking: Linking) -> None:
    await linking.put("product", "p", FAR)


async def recreated_product(linking: Linking) -> None:
    await linking.delete("product", "p")
    await linking.put("product", "p", P)


async def changes_of_both_kinds(linking: Linking) -> None:
    await linking.put("keyword", "near", NEAR)
    await linking.put("product", "p", Q)
    await linking.delete("keyword", "far")


CHANGES: tuple[Change, ...] = (
    new_keyword,
    deleted_keyword,
    reworded_keyword,
    recreated_keyword,
    deleted_product,
    reworded_product,
    recreated_product,
    changes_of_both_kinds,
)
changes = pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)


def after(*steps: Step) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("step", steps)


@pytest_asyncio.fixture(loop_scope="module")
async def requested(linking: Linking) -> Linking:
    """A product that is linked, with another request for it on the topic."""
    await linking.put("keyword", "far", FAR)
    await linking.put("keyword", "close", CLOSE)
    await linking.put("product", "p", P)
    await linking.drain()
    await linking.request("p")
    linking.consumer.forget()
    return linking


@changes
@after("look", "open", "read", "close")
async def test_a_change_whose_receipt_is_handled_during_the_turn(
    requested: Linking, step: Step, change: Change
) -> None:
    async def change_and_receipt() -> None:
        await change(requested)
        await requested.handle_receipts()

    assert await requested.consumer.interrupt(step, change_and_receipt)
    await requested.drain()
    await requested.check()


@changes
@after("open", "read")
async def test_a_change_whose_receipt_is_handled_after_the_turn(requested: Linking, step: Step, change: Change) -> None:
    assert await requested.consumer.interrupt(step, lambda: change(requested))
    await requested.drain()
    await requested.check()


@changes
@after("open", "publish", "close")
async def test_a_change_after_the_death_of_a_consumer_whose_request_another_takes(
    requested: Linking, step: Step, change: Change
) -> None:
    dying = requested.new_consumer()
    assert await dying.die_after(step)
    await change(requested)
    await requested.drain()
    assert "p" in requested.consumer.points.opened
    await requested.check()


@pytest.mark.parametrize("change", [new_keyword, deleted_product, reworded_product], ids=lambda change: change.__name__)
@after("open", "publish", "close")
async def test_a_consumer_that_dies_in_the_turn_of_a_change(requested: Linking, step: Step, change: Change) -> None:
    """The set after the change is published, although the next turn may find the point closed with this set."""
    await requested.consumer.work()
    await change(requested)
    assert await requested.handle_receipts() == 1
    dying = requested.new_consumer()
    assert await dying.die_after(step)
    requested.consumer.forget()
    await requested.drain()
    assert requested.consumer.points.opened == ["p"]
    await requested.check()


@changes
@after("open", "publish")
async def test_a_change_after_the_death_of_an_old_consumer_whose_request_is_committed(
    requested: Linking, step: Step, change: Change
) -> None:
    """The old consumer had lost its partition: no consumer takes its request again, and its point stays open."""
    old = requested.new_consumer()
    await requested.consumer.work()
    assert await old.die_after(step)
    assert await requested.open_products() == {"p"}
    await change(requested)
    await requested.drain()
    await requested.check()


@changes
@after("look", "open", "read", "publish")
async def test_an_old_consumer_that_continues_after_a_rebalance(requested: Linking, step: Step, change: Change) -> None:
    turn = requested.new_consumer().pause_after(step)
    assert await turn.reached()
    await change(requested)
    await requested.drain()
    assert "p" in requested.consumer.points.opened
    await turn.resume()
    await requested.drain()
    await requested.check()


@pytest.mark.parametrize(
    ("away", "back"),
    [
        pytest.param(("keyword", "close", (-1, 0, 0, 0)), ("keyword", "close", CLOSE), id="keyword"),
        pytest.param(("product", "p", FAR), ("product", "p", P), id="product"),
    ],
)
async def test_an_old_consumer_that_looked_at_a_set_which_is_restored(
    requested: Linking, away: tuple[str, str, tuple[float, ...]], back: tuple[str, str, tuple[float, ...]]
) -> None:
    """It reads the set that it has looked at, while the stores contain another: it must look again before it opens."""
    old = requested.new_consumer()
    turn = old.pause_after("look")
    assert await turn.reached()
    before = (await requested.published())["p"]
    await requested.put(*away)  # type: ignore[arg-type]
    await requested.drain()
    assert (await requested.published())["p"].model_copy(update={"version": before.version}) != before
    await requested.put(*back)  # type: ignore[arg-type]
    await turn.resume()
    assert old.points.opened == ["p"]
    await requested.drain()
    await requested.check()


@after("look", "open", "read", "publish")
@pytest.mark.parametrize("new_step", STEPS)
async def test_two_consumers_that_pause_after_any_two_steps(requested: Linking, step: Step, new_step: Step) -> None:
    old, new = requested.new_consumer(), requested.new_consumer()
    old_turn = old.pause_after(step)
    assert await old_turn.reached()
    new_turn = new.pause_after(new_step)
    assert await new_turn.reached()
    await new_keyword(requested)
    await requested.handle_receipts()
    await old_turn.resume()
    await new_turn.resume()
    await requested.drain()
    await requested.check()


async def test_a_consumer_whose_point_another_has_opened_looks_again(requested: Linking) -> None:
    """Otherwise it publishes a set with the higher version, although the other consumer reads later."""
    old, new = requested.new_consumer(), requested.new_consumer()
    old_turn = old.pause_after("look")
    assert await old_turn.reached()
    new_turn = new.pause_after("open")
    assert await new_turn.reached()
    await requested.delete("keyword", "far")
    await old_turn.resume()
    await new_keyword(requested)
    await new_turn.resume()
    await requested.drain()
    await requested.check()


@after(*STEPS)
async def test_a_product_that_is_new_to_two_consumers_at_once(linking: Linking, step: Step) -> None:
    await linking.put("keyword", "close", CLOSE)
    await linking.put("product", "p", P)
    await linking.handle_receipts()
    turn = linking.new_consumer().pause_after(step)
    assert await turn.reached()
    await linking.put("keyword", "near", NEAR)
    await linking.consumer.work()
    assert linking.consumer.points.opened == ["p"]
    await turn.resume()
    await linking.drain()
    await linking.check()


async def test_a_product_that_is_new_to_a_consumer_whose_clock_is_behind(
    linking: Linking, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its version must be above that of the point which another consumer has made since it looked."""
    await linking.put("keyword", "close", CLOSE)
    await linking.put("product", "p", P)
    await linking.handle_receipts()
    turn = linking.new_consumer().pause_after("look")
    assert await turn.reached()
    ahead = time.time_ns() + 10 * 10**9
    with monkeypatch.context() as clock:
        clock.setattr(time, "time_ns", lambda: ahead)
        await linking.consumer.work()
    assert (await linking.published())["p"].version > time.time_ns() // 10**6
    await linking.put("keyword", "near", NEAR)
    await turn.resume()
    await linking.drain()
    await linking.check()


async def test_a_point_that_opens_between_the_queries_of_a_receipt_and_is_never_closed(requested: Linking) -> None:
    """The model found this: sets with the keyword are queried, the point opens, its floor is gone, its writer dies."""
    old = requested.new_consumer()
    await requested.consumer.work()
    await new_keyword(requested)

    async def open_and_die() -> None:
        assert await old.die_after("open")

    hooks = Hooks()
    hooks.after("holders", open_and_die)
    assert await requested.handle_receipts(stage=requested.new_receipt_stage(hooks)) == 1
    assert hooks.clear()
    await requested.drain()
    await requested.check()


async def test_a_point_that_closes_between_the_queries_of_a_receipt(requested: Linking) -> None:
    """The first query finds it open. The second one compares with the probe of its former vector; the last one finds it
    closed, with a set that was read before the keyword was visible.
    """
    await requested.consumer.work()
    await requested.put("product", "p", (0, 0, 1, 0))
    assert await requested.handle_receipts() == 1
    turn = requested.consumer.pause_after("read")
    assert await turn.reached()
    await requested.put("keyword", "near", (-0.1, 0, 1, 0))
    hooks = Hooks()
    hooks.after("probes", turn.resume)
    assert await requested.handle_receipts(stage=requested.new_receipt_stage(hooks)) == 1
    assert hooks.clear()
    await requested.drain()
    await requested.check()
