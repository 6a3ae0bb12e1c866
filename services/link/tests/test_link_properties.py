"""Random sequences of all that can happen: in the end the links are what brute force finds, in Kafka and in Qdrant."""

import asyncio
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from harness.linking import STEPS, Linking, Paused, Step
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

pytestmark = pytest.mark.asyncio(loop_scope="module")

PRODUCTS, KEYWORDS = ("p", "q", "r", "s"), ("a", "b", "c", "d", "e", "f")
VECTORS = [*np.random.default_rng(3).standard_normal((9, 4)).tolist(), [1, 0, 0, 0], [0.6, 0.8, 0, 0], [0.6, 0, 0.8, 0]]
"""Few of them, so that contents come back and scores tie."""

Event = tuple[Any, ...]
put_product = st.tuples(st.just("put"), st.just("product"), st.sampled_from(PRODUCTS), st.sampled_from(VECTORS))
put_keyword = st.tuples(st.just("put"), st.just("keyword"), st.sampled_from(KEYWORDS), st.sampled_from(VECTORS))
delete_product = st.tuples(st.just("delete"), st.just("product"), st.sampled_from(PRODUCTS))
delete_keyword = st.tuples(st.just("delete"), st.just("keyword"), st.sampled_from(KEYWORDS))
change = st.one_of(put_product, put_keyword, delete_product, delete_keyword)
hear = st.tuples(st.just("hear"), st.integers(0, 2**16))
work = st.tuples(st.just("work"), st.sampled_from([1, 3, None]))
die = st.tuples(st.just("die"), st.sampled_from(STEPS))
rebalance = st.tuples(st.just("rebalance"), st.sampled_from(STEPS))
interrupt = st.tuples(st.just("interrupt"), st.sampled_from(STEPS), st.lists(change, min_size=1, max_size=2))
sweep = st.just(("sweep",))
event = st.one_of(change, change, change, hear, hear, work, work, die, rebalance, interrupt, sweep)
sequences = st.lists(event, min_size=4, max_size=24)
FREE = {"deadline": None, "suppress_health_check": list(HealthCheck), "database": None}


class Story:
    """One sequence on one set of servers. Old consumers go on at its end."""

    def __init__(self, linking: Linking) -> None:
        self.linking = linking
        self.old: list[tuple[Paused, asyncio.Task[int]]] = []

    async def happens(self, event: Event) -> None:
        linking = self.linking
        match event:
            case ("put", kind, id, vector):
                await linking.put(kind, id, vector)
            case ("delete", kind, id):
                await linking.delete(kind, id)
            case ("hear", order):
                await linking.hear(shuffled=np.random.default_rng(order))
            case ("work", at_once):
                await linking.consumer.work(at_once)
            case ("die", step):
                dying = await linking.new_consumer()
                await dying.die_after(step)
            case ("rebalance", step):
                await self._rebalance(step)
            case ("interrupt", step, changes):
                await self._interrupt(step, changes)
            case ("sweep",):
                await linking.sweep()

    async def _rebalance(self, step: Step) -> None:
        """Another takes over, and the one before goes on when all the rest is done."""
        consumer = await self.linking.new_consumer()
        if await consumer.take():
            paused = Paused(consumer, step)
            task = asyncio.create_task(consumer.work())
            reached = asyncio.create_task(paused.reached.wait())
            await asyncio.wait([reached, task], return_when=asyncio.FIRST_COMPLETED)
            reached.cancel()
            self.old.append((paused, task))

    async def _interrupt(self, step: Step, changes: Sequence[Event]) -> None:
        async def changed() -> None:
            for one in changes:
                await self.happens(one)
            await self.linking.hear()

        self.linking.consumer.hooks.after(step, changed)
        await self.linking.consumer.work()
        self.linking.consumer.hooks.clear()

    async def ends(self) -> None:
        for paused, task in self.old:
            paused.go_on.set()
            await task


async def tell(linking: Linking, sequence: Sequence[Event], k: int) -> None:
    await linking.reset()
    linking.settings.link.k = k
    linking.consumer = await linking.new_consumer()
    story = Story(linking)
    for one in sequence:
        await story.happens(one)
    await story.ends()
    await linking.quiet()
    await linking.check()


def runs(examples: int) -> Any:
    return settings(max_examples=examples, **FREE)  # type: ignore[arg-type]


@seed(20240607)
@runs(120)
@given(sequence=sequences, k=st.sampled_from([1, 2, 5]))
async def test_links_equal_brute_force_after_any_sequence(linking: Linking, sequence: list[Event], k: int) -> None:
    await tell(linking, sequence, k)


@pytest.mark.long
@pytest.mark.timeout(7200)
@runs(3000)
@given(sequence=sequences, k=st.sampled_from([1, 2, 5]))
async def test_links_equal_brute_force_after_thousands_of_sequences(
    linking: Linking, sequence: list[Event], k: int
) -> None:
    await tell(linking, sequence, k)
