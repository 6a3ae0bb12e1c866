"""A failed part does not touch the others, and a refused part is halved until the refused change is found."""

import asyncio
from collections.abc import Sequence

import pytest

from headrace_worker.parts import write_parts
from headrace_worker.stage import Applied, BatchRejected, Outcome, Rejected, Superseded, Unavailable

REFUSAL = Rejected("refused_by_store", "detail", ("store", "code"))


class FakeStore:
    """Accepts numbers. `refused` numbers make it refuse a whole part, `broken` ones make it unavailable."""

    def __init__(self, *, refused: Sequence[int] = (), broken: Sequence[int] = (), seconds: float = 0.0) -> None:
        self.refused, self.broken, self.seconds = set(refused), set(broken), seconds
        self.requests: list[list[int]] = []
        self.in_flight = self.most_in_flight = 0

    async def write(self, part: Sequence[int]) -> list[Outcome]:
        self.requests.append(list(part))
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        await asyncio.sleep(self.seconds)
        self.in_flight -= 1
        if self.broken & set(part):
            raise Unavailable("store", "down")
        if self.refused & set(part):
            raise BatchRejected(REFUSAL)
        return [Superseded(by=number) if number % 2 else Applied() for number in part]


def parts(total: int, size: int) -> list[range]:
    return [range(start, min(start + size, total)) for start in range(0, total, size)]


async def written(store: FakeStore, cut: Sequence[Sequence[int]], **options: float) -> list[Outcome]:
    return await write_parts(cut, store.write, asyncio.Semaphore(2), **options)


async def test_outcomes_come_in_the_order_of_the_parts() -> None:
    store = FakeStore()
    assert await written(store, [[4, 3], [1], [2]]) == [Applied(), Superseded(3), Superseded(1), Applied()]
    assert await written(store, []) == []


async def test_the_slots_limit_the_parts_in_flight() -> None:
    store = FakeStore()
    await written(store, parts(100, 10))
    assert store.most_in_flight == 2


async def test_calls_that_share_their_slots_share_the_limit() -> None:
    store, slots = FakeStore(), asyncio.Semaphore(3)
    await asyncio.gather(*(write_parts(parts(100, 10), store.write, slots) for _ in range(4)))
    assert store.most_in_flight == 3


async def test_an_unavailable_part_leaves_the_outcomes_of_the_others() -> None:
    outcomes = await written(FakeStore(broken=[5]), parts(12, 4))
    assert [isinstance(outcome, Unavailable) for outcome in outcomes] == [False] * 4 + [True] * 4 + [False] * 4


async def test_unavailable_is_raised_when_no_part_could_be_written() -> None:
    with pytest.raises(Unavailable, match="down"):
        await written(FakeStore(broken=range(12)), parts(12, 4))


async def test_the_failure_of_the_first_part_is_raised() -> None:
    async def write(part: Sequence[int]) -> list[Outcome]:
        raise Unavailable("store", f"part {part[0]} is down")

    for cut in ([[0]], [[0], [1]]):
        with pytest.raises(Unavailable, match="part 0 is down"):
            await write_parts(cut, write, asyncio.Semaphore(2))


async def test_a_refused_change_is_rejected_alone_while_another_part_is_unavailable() -> None:
    outcomes = await written(FakeStore(refused=[2], broken=[5]), parts(12, 4))
    assert outcomes.pop(2) == REFUSAL
    assert [type(outcome) for outcome in outcomes] == [
        Applied, Superseded, Superseded, *[Unavailable] * 4, Applied, Superseded, Applied, Superseded,
    ]  # fmt: skip


async def test_a_refusal_is_not_lost_when_everything_else_is_unavailable() -> None:
    outcomes = await written(FakeStore(refused=[0], broken=[1, 2, 3]), [[0], [1], [2, 3]])
    assert outcomes[0] == REFUSAL
    assert {type(outcome) for outcome in outcomes[1:]} == {Unavailable}


async def test_one_refused_change_repeats_few_writes_and_no_other_part() -> None:
    store = FakeStore(refused=[321])
    outcomes = await written(store, parts(2048, 512))
    assert outcomes.pop(321) == REFUSAL
    assert {type(outcome) for outcome in outcomes} == {Applied, Superseded}
    assert len(store.requests) == 4 + 2 * 9
    assert sum(map(len, store.requests)) < 2048 + 2 * 512
    assert sum(number >= 512 for request in store.requests for number in request) == 2048 - 512


async def test_the_search_for_refused_changes_ends_in_time_and_keeps_what_it_found() -> None:
    store = FakeStore(refused=range(64), seconds=0.01)
    outcomes = await written(store, [range(64)], search_seconds=0.2)
    found = [outcome for outcome in outcomes if isinstance(outcome, Rejected)]
    left = [outcome for outcome in outcomes if isinstance(outcome, Unavailable)]
    assert 0 < len(found) < 64
    assert len(found) + len(left) == 64
    assert all(outcome.suspect for outcome in left)


async def test_a_fault_of_the_stage_is_raised_when_all_parts_have_ended() -> None:
    ended: list[int] = []

    async def write(part: Sequence[int]) -> list[Outcome]:
        if part[0] == 0:
            raise ZeroDivisionError
        await asyncio.sleep(0.01)
        ended.append(part[0])
        return [Applied()]

    with pytest.raises(ZeroDivisionError):
        await write_parts([[0], [1]], write, asyncio.Semaphore(2))
    assert ended == [1]
