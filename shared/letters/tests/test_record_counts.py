"""The kept counts of source records equal a count of the letters, whatever happens to the letters."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
from harness.letters import letter, set_aside
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from headrace_letters.actions import Action
from headrace_letters.index import LetterIndex
from headrace_letters.index_settings import IndexSettings
from headrace_letters.letter import EPOCH, Letter
from headrace_letters.replay_answers import ReplayAnswer
from headrace_letters.selection import STATUSES, Selection
from headrace_runtime.decoder import Position

WORKERS = ("elasticsearch", "embed", "pgvector")
OFFSETS = (7, 8, 127, 128, 300)
"""Of two records of one block, of its last one, of the next one, and of another one."""


def of(worker: str, offset: int, attempts: int = 1, cause: str = "invalid", timestamp: int = 1) -> Letter:
    """A letter of a record that is itself wrong."""
    return letter(
        f"{worker}:products:0:{offset}:{timestamp}",
        worker=worker,
        attempts=attempts,
        before_store=True,
        reason=cause,
        at=Position(f"dead.{worker}", 0, 1000 * timestamp + 10 * offset + attempts),
        failed=Position("products", 0, offset),
        failed_at=datetime(2026, 3, 1, tzinfo=UTC) + timedelta(minutes=offset + 5 * attempts),
    )


letters = st.builds(
    of,
    st.sampled_from(WORKERS),
    st.sampled_from(OFFSETS),
    st.sampled_from([1, 2, 2, 5]),
    st.sampled_from(["invalid", "not_json"]),
    st.sampled_from([1, 1, 1, 2]),
)
selections = st.builds(
    Selection,
    worker=st.sampled_from([None, *WORKERS]),
    reason=st.sampled_from([None, "invalid"]),
    status=st.none() | st.lists(st.sampled_from(STATUSES), min_size=1, max_size=2, unique=True).map(tuple),
)
events = st.lists(
    st.lists(letters, min_size=1, max_size=5)
    | st.tuples(st.sampled_from(["park", "discard", "replay", "replay long ago"]), selections)
    | st.builds(ReplayAnswer, st.builds(of, st.sampled_from(WORKERS), st.sampled_from(OFFSETS)).map(lambda one: one.id),
                st.sampled_from([1, 2]), st.sampled_from(["applied", "superseded"]))
    | st.sampled_from(["expire"]),
    max_size=6,
)  # fmt: skip


@example(history=[("replay long ago", Selection())], asked=[])
@given(history=events, asked=st.lists(selections, max_size=2))
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], database=None)
async def test_the_source_records_of_a_selection_are_counted_exactly(
    index: LetterIndex, sql: "asyncpg.Connection[asyncpg.Record]", history: Sequence[Any], asked: Sequence[Selection]
) -> None:
    await sql.execute("TRUNCATE headrace.dead_letters, headrace.dead_decisions, headrace.dead_actions")
    await index.put_letters([of(worker, offset) for offset in OFFSETS for worker in WORKERS[:2]])
    for event in history:
        await happen(index, sql, event)
    for selection in [Selection(), *(Selection(status=(status,)) for status in STATUSES), *asked]:
        assert await kept(index, selection) == await counted(index, selection)


async def test_letters_of_one_record_that_are_written_at_once_are_counted_together(
    index: LetterIndex, index_settings: IndexSettings
) -> None:
    others = [LetterIndex(index_settings.postgres, index_settings.names.schema) for _ in WORKERS]
    for start in range(0, 600, 100):
        await asyncio.gather(*(
            one.put_letters([of(worker, offset) for offset in range(start, start + 100)])
            for one, worker in zip(others, WORKERS, strict=True)
        ))  # fmt: skip
    for one in others:
        await one.close()
    (group,) = await index.groups()
    assert (group.total, group.records) == (1800, 600)
    assert await kept(index, Selection()) == await counted(index, Selection())


async def happen(index: LetterIndex, sql: "asyncpg.Connection[asyncpg.Record]", event: Any) -> None:
    match event:
        case ReplayAnswer():
            await index.put_answers([event])
        case [*_] if not isinstance(event, tuple):
            await index.put_letters(event)
        case "expire":
            await index.remove_before(Position("dead.embed", 0, 1000 + 10 * OFFSETS[2]))
        case ("park" | "discard" as name, selection):
            await set_aside(index, Action("on-call", name, selection))
        case (_, selection):
            page = await index.page(selection)
            action = await index.begin(Action("on-call", "replay", selection))
            await index.mark_replaying(action, [one.letter for one in page.letters])
            if event[0] == "replay long ago":
                await sql.execute("UPDATE headrace.dead_letters SET replayed_at = now() - interval '1 day'")


async def kept(index: LetterIndex, selection: Selection) -> dict[str, tuple[int, int]]:
    return {group.fingerprint: (group.total, group.records) for group in await index.groups(selection)}


async def counted(index: LetterIndex, selection: Selection) -> dict[str, tuple[int, int]]:
    """Counted from the letters themselves."""
    records: dict[str, set[str]] = {}
    totals: dict[str, int] = {}
    page = await index.page(selection, limit=10_000)
    for one in page.letters:
        records.setdefault(one.letter.fingerprint, set()).add(one.letter.id.removeprefix(one.letter.worker))
        totals[one.letter.fingerprint] = totals.get(one.letter.fingerprint, 0) + 1
    found = {cause: (totals[cause], len(of_cause)) for cause, of_cause in records.items()}
    # The same with a condition that the kept counts do not have.
    dated = Selection(worker=selection.worker, reason=selection.reason, status=selection.status, since=EPOCH)
    assert await kept(index, dated) == found
    return found
