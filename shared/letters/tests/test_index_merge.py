"""The index is the same for any order and repetition of letters, receipts and decisions."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import asyncpg
from harness.letters import letter, set_aside
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headrace_letters.actions import Action
from headrace_letters.index import LetterIndex
from headrace_letters.letter import Letter
from headrace_letters.letter_rows import Failure, IndexedLetter
from headrace_letters.replay_answers import ReplayAnswer
from headrace_letters.selection import EVERYTHING, RANKS, Selection
from headrace_runtime.decoder import Position

IDS = ("a", "b")
ids, attempts = st.sampled_from(IDS), st.sampled_from([1, 1, 2, 2, 3, 5])


@st.composite
def letters(draw: st.DrawFn) -> Letter:
    attempt, offset = draw(attempts), draw(st.integers(0, 2))
    # One position has one letter, so its other values depend on the position.
    return letter(
        draw(ids),
        attempts=attempt,
        failed_at=datetime(2026, 3, 1, tzinfo=UTC) + timedelta(minutes=attempt * 7 + offset),
        at=Position("dead.qdrant", draw(st.integers(0, 1)), attempt * 10 + offset),
        reason=("invalid", "too_large", "poison")[(attempt + offset) % 3],
    )


answers = st.builds(ReplayAnswer, ids, attempts, st.sampled_from(["applied", "superseded", "dead", "ignored"]))
decisions = st.tuples(st.sampled_from(["replaying", "parked", "discarded", "superseded"]), ids)
histories = st.lists(letters() | letters() | answers | decisions, max_size=24)


class Expected:
    """The expected content of the index, computed in a simple way."""

    def __init__(self) -> None:
        self.letters: dict[str, list[Letter]] = defaultdict(list)
        self.statuses: dict[str, list[tuple[int, int]]] = defaultdict(list)
        self.by: dict[str, list[int]] = defaultdict(list)

    def letter(self, one: Letter) -> None:
        self.letters[one.id].append(one)
        self.statuses[one.id].append((one.attempts, RANKS[one.status]))

    def answer(self, answer: ReplayAnswer) -> None:
        ends = {"applied": "resolved", "ignored": "resolved", "superseded": "superseded"}
        if answer.outcome in ends:
            self.statuses[answer.dead_id].append((answer.attempt, RANKS[ends[answer.outcome]]))

    def decide(self, status: Any, id: str) -> None:
        self.statuses[id].append((self.newest(id).attempts, RANKS[status]))

    def newest(self, id: str) -> Letter:
        return max(self.letters[id], key=lambda one: (one.attempts, one.failed_at, one.at))

    def rows(self) -> dict[str, tuple[Any, ...]]:
        return {id: self._row(id) for id in self.letters}

    def _row(self, id: str) -> tuple[Any, ...]:
        shown = replace(self.newest(id), first_failed_at=min(one.first_failed_at for one in self.letters[id]))
        by_attempt: dict[int, Letter] = {}
        for one in sorted(self.letters[id], key=lambda one: (one.attempts, one.failed_at, one.at)):
            by_attempt[one.attempts] = one
        failures = tuple(
            Failure(one.attempts, one.failed_at, one.reason, one.fingerprint, one.error, one.at)
            for one in by_attempt.values()
        )
        status = list(RANKS)[max(self.statuses[id])[1]]
        return shown, status, max(self.by[id], default=None), failures


@given(history=histories, seed=st.integers(0, 2**16))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], database=None)
async def test_the_index_is_the_merge_of_all_events_in_any_order(
    index: LetterIndex, sql: "asyncpg.Connection[asyncpg.Record]", history: Sequence[Any], seed: int
) -> None:
    await sql.execute("TRUNCATE headrace.dead_letters, headrace.dead_decisions, headrace.dead_actions")
    expected = await happened(index, history)
    assert await stored(index) == expected
    assert await tallied(sql) == await counted(sql)

    # The table is lost, and restored from the topics and the audit, in another order.
    await sql.execute("TRUNCATE headrace.dead_letters")
    events = [event for event in history if not isinstance(event, tuple) or isinstance(event, ReplayAnswer)]
    random = Random(seed)
    random.shuffle(events)
    await put(index, events + random.choices(events, k=len(events) // 2) if events else [])
    await index.decide_again()
    assert await stored(index) == expected
    assert await tallied(sql) == await counted(sql)


async def happened(index: LetterIndex, history: Sequence[Any]) -> dict[str, tuple[Any, ...]]:
    """Applies the events one after the other; returns the expected content."""
    expected = Expected()
    for event in history:
        match event:
            case Letter():
                expected.letter(event)
                await index.put_letters([event])
            case ReplayAnswer():
                expected.answer(event)
                await index.put_answers([event])
            case (status, id) if id in expected.letters:
                expected.decide(status, id)
                await decide(index, expected, status, id)
    return expected.rows()


async def decide(index: LetterIndex, expected: Expected, status: str, id: str) -> None:
    action = Action("on-call", "replay", Selection(ids=(id,)))
    if status == "parked":
        await set_aside(index, replace(action, name="park"))
    elif status == "discarded":
        await set_aside(index, replace(action, name="discard"))
    elif status == "replaying":
        await index.mark_replaying(await index.begin(action), [expected.newest(id)])
    else:
        version = 10 + len(expected.by[id])
        expected.by[id].append(version)
        await index.mark_superseded(await index.begin(action), expected.newest(id), version)


async def put(index: LetterIndex, events: Sequence[Any]) -> None:
    """Writes letters and answers in batches."""
    for start in range(0, len(events), 5):
        batch = events[start : start + 5]
        await index.put_letters([one for one in batch if isinstance(one, Letter)])
        await index.put_answers([one for one in batch if isinstance(one, ReplayAnswer)])


async def stored(index: LetterIndex) -> dict[str, tuple[Any, ...]]:
    return {one.letter.id: row(one) for some in [await index.page(EVERYTHING)] for one in some.letters}


def row(one: IndexedLetter) -> tuple[Any, ...]:
    return one.letter, one.status, one.superseded_by, one.failures


async def tallied(sql: "asyncpg.Connection[asyncpg.Record]") -> list[Any]:
    return list(await sql.fetch("""
        SELECT fingerprint, worker, reason, status, since, letters FROM headrace.dead_tallies
        WHERE letters <> 0 ORDER BY 1, 2, 3, 4, 5
    """))  # fmt: skip


async def counted(sql: "asyncpg.Connection[asyncpg.Record]") -> list[Any]:
    return list(await sql.fetch("""
        SELECT fingerprint, worker, reason, status, date_bin('5 minutes', failed_at, 'epoch') AS since,
            count(*) AS letters
        FROM headrace.dead_letters WHERE dead_topic IS NOT NULL GROUP BY 1, 2, 3, 4, 5 ORDER BY 1, 2, 3, 4, 5
    """))  # fmt: skip
