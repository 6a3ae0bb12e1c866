"""Queries of the index stay fast with 100,000 letters."""

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta

import pytest
import pytest_asyncio
from harness.letter_index import index_of_module
from harness.letters import letter
from harness.servers import Servers

from headrace_letters.actions import Action
from headrace_letters.index import LetterIndex
from headrace_letters.letter import Letter
from headrace_letters.selection import EVERYTHING, Selection
from headrace_runtime.decoder import Position

pytestmark = [pytest.mark.alone, pytest.mark.asyncio(loop_scope="module")]

LETTERS = 100_000
REASONS = ("invalid", "not_json", "too_large", "wrong_vector", "refused_by_store")
LONGEST = 0.15
"""Seconds for the fastest of five runs, on a busy machine: half of the time that a whole page may take."""


def letters(start: int, count: int) -> list[Letter]:
    now = datetime.now(UTC)
    return [
        letter(
            f"qdrant:products:{n % 6}:{n}:1700000000000",
            failed_at=now - timedelta(seconds=n % 86_400),
            reason=REASONS[n % 5],
            at=Position("dead.qdrant", n % 6, n),
            error=f"product {n} was refused: " + "said at length " * 10,
        )
        for n in range(start, start + count)
    ]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def full(servers: Servers) -> AsyncIterator[LetterIndex]:
    """An index of LETTERS letters, a fifth of them replaying; the database has no statistics of them yet."""
    async with index_of_module(servers) as (index, _):
        for start in range(0, LETTERS, 4000):
            await index.put_letters(letters(start, 4000))
        replay = await index.begin(Action("on-call", "replay", EVERYTHING))
        for start in range(0, LETTERS // 5, 4000):
            await index.mark_replaying(replay, letters(start, 4000))
        yield index


async def second_page(index: LetterIndex) -> object:
    first = await index.page(EVERYTHING)
    return await index.page(EVERYTHING, after=first.next)


QUERIES: dict[str, Callable[[LetterIndex], Awaitable[object]]] = {
    "groups": lambda index: index.groups(),
    "groups that wait": lambda index: index.groups(Selection(status=("waiting",))),
    "count": lambda index: index.count(EVERYTHING),
    "first page": lambda index: index.page(EVERYTHING),
    "second page": second_page,
    "page of a cause": lambda index: index.page(Selection(fingerprint="cause of invalid")),
    "page of a cause and a status": lambda index: index.page(
        Selection(fingerprint="cause of invalid", status=("resolved",))
    ),
    "page of waiting letters": lambda index: index.page(Selection(status=("waiting",))),
    "page of a key": lambda index: index.page(Selection(key=b"qdrant:products:0:6:1700000000000")),
    "page of a worker without letters": lambda index: index.page(Selection(worker="embed")),
    "one letter": lambda index: index.get(["qdrant:products:0:6:1700000000000"]),
}


@pytest.mark.parametrize("query", QUERIES)
async def test_a_query_over_100_000_letters_is_fast(full: LetterIndex, query: str) -> None:
    assert sum((await full.count(EVERYTHING)).values()) == LETTERS
    taken = []
    for _ in range(5):
        began = time.perf_counter()
        assert await QUERIES[query](full) is not None
        taken.append(time.perf_counter() - began)
    assert min(taken) < LONGEST
