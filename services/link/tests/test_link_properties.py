"""Random sequences of events: in the end the links in Kafka and in Qdrant equal brute force."""

from collections import Counter
from collections.abc import AsyncIterator, Sequence
from typing import Any

import numpy as np
import pytest
import pytest_asyncio
from harness.link_consumer import STEPS, PausedTurn, Step
from harness.linking import Linking
from hypothesis import HealthCheck, example, given, seed, settings
from hypothesis import strategies as st

from headrace_link.receipts import ReceiptStage

pytestmark = pytest.mark.asyncio(loop_scope="module")

PRODUCTS, KEYWORDS = ("p", "q", "r", "s"), ("a", "b", "c", "d", "e", "f")
VECTORS = [*np.random.default_rng(3).standard_normal((9, 4)).tolist(), [1, 0, 0, 0], [0.6, 0.8, 0, 0], [0.6, 0, 0.8, 0]]
"""Few vectors, so that contents recur and scores tie."""
LEAST_INTERRUPTIONS = 20

Event = tuple[Any, ...]
put_product = st.tuples(st.just("put"), st.just("product"), st.sampled_from(PRODUCTS), st.sampled_from(VECTORS))
put_keyword = st.tuples(st.just("put"), st.just("keyword"), st.sampled_from(KEYWORDS), st.sampled_from(VECTORS))
delete_product = st.tuples(st.just("delete"), st.just("product"), st.sampled_from(PRODUCTS))
delete_keyword = st.tuples(st.just("delete"), st.just("keyword"), st.sampled_from(KEYWORDS))
change = st.one_of(put_product, put_keyword, delete_product, delete_keyword)
receipts = st.tuples(st.just("receipts"), st.integers(0, 2**16))
work = st.tuples(st.just("work"), st.sampled_from([1, 3, None]))
die = st.tuples(st.just("die"), st.sampled_from(STEPS))
rebalance = st.tuples(st.just("rebalance"), st.sampled_from(STEPS))
interrupt = st.tuples(st.just("interrupt"), st.sampled_from(STEPS), st.lists(change, min_size=1, max_size=2))
sweep = st.just(("sweep",))
event = st.one_of(change, change, change, receipts, receipts, work, work, die, rebalance, interrupt, sweep)
sequences = st.lists(event, min_size=4, max_size=24)
FREE = {"deadline": None, "suppress_health_check": list(HealthCheck), "database": None}


class Story:
    """One sequence on one set of servers. `interruptions`: counts those that took place, by kind.

    `deaths`: the number of consumers that died.
    """

    def __init__(self, linking: Linking, interruptions: Counter[str]) -> None:
        self._linking = linking
        self._interruptions = interruptions
        self._old: list[PausedTurn] = []
        self.deaths = 0

    async def play(self, event: Event) -> None:
        linking = self._linking
        match event:
            case ("put", kind, id, vector):
                await linking.put(kind, id, vector)
            case ("delete", kind, id):
                await linking.delete(kind, id)
            case ("receipts", order):
                await linking.handle_receipts(shuffled=np.random.default_rng(order))
            case ("work", at_once):
                await linking.consumer.work(at_once)
            case ("die", step):
                await self._some_requests()
                self.deaths += await self._die(step)
            case ("rebalance", step):
                await self._rebalance(step)
            case ("interrupt", step, changes):
                await self._interrupt(step, changes)
            case ("sweep",):
                await linking.sweep()

    async def end(self) -> None:
        """The old consumers continue."""
        for turn in self._old:
            await turn.resume()

    async def _some_requests(self) -> None:
        """Without a request there is nothing to interrupt."""
        if not await self._linking.consumer.waiting():
            await self._linking.handle_receipts()

    async def _die(self, step: Step) -> bool:
        """Another consumer gets the partition and dies; the one before it gets the partition again."""
        died = await self._linking.new_consumer().die_after(step)
        self._interruptions["die"] += died
        return died

    async def _rebalance(self, step: Step) -> None:
        """Another consumer has the partition from now on; the old one continues at the end of the sequence."""
        await self._some_requests()
        turn = self._linking.new_consumer().pause_after(step)
        self._old.append(turn)
        self._interruptions["rebalance"] += await turn.reached()

    async def _interrupt(self, step: Step, changes: Sequence[Event]) -> None:
        await self._some_requests()

        async def change() -> None:
            for one in changes:
                await self.play(one)
            await self._linking.handle_receipts()

        self._interruptions["interrupt"] += await self._linking.consumer.interrupt(step, change)


@pytest.fixture(autouse=True)
def two_topics(monkeypatch: pytest.MonkeyPatch) -> None:
    """A keyword that concerns three or four of the products makes its requests in bulk."""
    monkeypatch.setattr(f"{ReceiptStage.__module__}.FEW_PRODUCTS", 2)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def interruptions() -> AsyncIterator[Counter[str]]:
    """Counts interruptions by kind, and asserts at the end that each kind took place several times."""
    counted: Counter[str] = Counter()
    yield counted
    for kind in ("die", "rebalance", "interrupt"):
        assert counted[kind] >= LEAST_INTERRUPTIONS, counted


async def play_all(linking: Linking, interruptions: Counter[str], sequence: Sequence[Event], k: int) -> None:
    await linking.reset()
    linking.settings.link.k = k
    linking.consumer = linking.new_consumer()
    story = Story(linking, interruptions)
    for event in sequence:
        await story.play(event)
    await story.end()
    await linking.drain()
    await linking.check_published()
    if story.deaths:
        # The request of a dead consumer is skipped if another has answered it, and the point stays open.
        await linking.find_open_points()
        await linking.drain()
    await linking.check()


OPENED_WHILE_A_TURN_ANSWERS = [
    *[("delete", "product", "p")] * 2,
    ("interrupt", "look", [("put", "product", "p", VECTORS[0])]),
    ("die", "open"),
]
OPENED_AFTER_AN_ANSWER = [
    *[("put", "product", "p", VECTORS[0]), ("receipts", 0)] * 2,
    ("work", 1),
    ("die", "open"),
]
"""Two sequences in which a consumer dies after opening for a request that another turn may have answered."""


def runs(examples: int) -> Any:
    return settings(max_examples=examples, **FREE)  # type: ignore[arg-type]


@seed(20240607)
@runs(80)
@example(sequence=OPENED_WHILE_A_TURN_ANSWERS, k=1)
@example(sequence=OPENED_AFTER_AN_ANSWER, k=1)
@given(sequence=sequences, k=st.sampled_from([1, 2, 5]))
async def test_links_equal_brute_force_after_any_sequence(
    linking: Linking, interruptions: Counter[str], sequence: list[Event], k: int
) -> None:
    await play_all(linking, interruptions, sequence, k)


@pytest.mark.long
@pytest.mark.timeout(7200)
@runs(3000)
@given(sequence=sequences, k=st.sampled_from([1, 2, 5]))
async def test_links_equal_brute_force_after_thousands_of_sequences(
    linking: Linking, interruptions: Counter[str], sequence: list[Event], k: int
) -> None:
    await play_all(linking, interruptions, sequence, k)
