"""A decision about a record that is itself wrong settles the letters of every worker that rejected it."""

import asyncpg
import pytest
from harness.letters import letter, set_aside

from headrace_letters.actions import Action, ActionName
from headrace_letters.bulk_decisions import Touched
from headrace_letters.index import LetterIndex
from headrace_letters.letter import Letter
from headrace_letters.replay_answers import ReplayAnswer
from headrace_letters.selection import EVERYTHING, Selection, Status
from headrace_runtime.decoder import Position


def of(worker: str, offset: int = 7, timestamp: int = 1, before_store: bool = True, fingerprint: str = "c") -> Letter:
    """A letter of the record at this offset. `timestamp`: of the record."""
    return letter(
        f"{worker}:products:0:{offset}:{timestamp}",
        worker=worker,
        before_store=before_store,
        fingerprint=fingerprint,
        at=Position(f"dead.{worker}", 0, 2 * offset + timestamp),
        failed=Position("products", 0, offset),
    )


async def statuses(index: LetterIndex, *letters: Letter) -> list[Status]:
    found = await index.get([one.id for one in letters])
    return [found[one.id].status for one in letters]


async def touched(index: LetterIndex, action: ActionName, selection: Selection) -> Touched:
    return [found async for found in index.touched(action, selection)][-1]


EMBED, ELASTIC, OTHER = of("embed"), of("elasticsearch"), of("other", fingerprint="older version's")
NOT_TWINS = (
    of("embed", offset=8),
    of("elasticsearch", timestamp=2),
    of("qdrant", before_store=False),
)
"""Of another record; of a topic that was created again; refused by a store."""


@pytest.mark.parametrize(("name", "status"), [("park", "parked"), ("discard", "discarded")])
async def test_letters_of_one_wrong_record_are_settled_together(
    index: LetterIndex, name: ActionName, status: Status
) -> None:
    await index.put_letters([EMBED, ELASTIC, OTHER, *NOT_TWINS])
    chosen = Selection(ids=(EMBED.id,))
    found = await touched(index, name, chosen)
    assert {cause.worker: number for cause, number in found.chosen.items()} == {"embed": 1}
    assert {(cause.worker, cause.fingerprint) for cause in found.twins} == {
        ("elasticsearch", "c"), ("other", "older version's")
    }  # fmt: skip
    assert found.letters == 3
    assert await statuses(index, EMBED) == ["waiting"]
    assert await set_aside(index, Action("on-call", name, chosen, "why")) == 3
    assert await statuses(index, EMBED, ELASTIC, OTHER, *NOT_TWINS) == [status] * 3 + ["waiting"] * 3
    assert [row.name for row in await index.actions_on(OTHER.id)] == [name]


async def test_what_is_touched_counts_each_letter_once_and_no_stronger_status(index: LetterIndex) -> None:
    await index.put_letters([EMBED, ELASTIC, OTHER, *NOT_TWINS])
    await index.put_answers([ReplayAnswer(OTHER.id, 1, "applied")])
    for selection, counts in (
        (EVERYTHING, (5, 0)),
        (Selection(fingerprint="c"), (5, 0)),
        (Selection(worker="embed"), (2, 1)),
        (Selection(ids=(EMBED.id, ELASTIC.id)), (2, 0)),
    ):
        found = await touched(index, "discard", selection)
        assert (found.chosen.total(), found.twins.total()) == counts
    await set_aside(index, Action("on-call", "park", Selection(ids=(EMBED.id,))))
    assert await statuses(index, EMBED, ELASTIC, OTHER) == ["parked", "parked", "resolved"]
    assert (await touched(index, "park", Selection(worker="elasticsearch"))).letters == 1
    assert (await touched(index, "discard", Selection(worker="elasticsearch"))).letters == 3


async def test_an_edit_closes_the_letters_of_the_other_workers_and_a_replay_does_not(index: LetterIndex) -> None:
    await index.put_letters([EMBED, ELASTIC, *NOT_TWINS])
    action = await index.begin(Action("on-call", "replay", EVERYTHING))
    await index.mark_replaying(action, [EMBED])
    assert await statuses(index, EMBED, ELASTIC) == ["replaying", "waiting"]
    await index.mark_superseded(action, ELASTIC, by=9)
    found = await index.get([EMBED.id, ELASTIC.id])
    assert [(found[one.id].status, found[one.id].superseded_by) for one in (EMBED, ELASTIC)] == [("superseded", 9)] * 2
    assert await statuses(index, *NOT_TWINS) == ["waiting"] * 3


async def test_a_group_counts_records_once_and_letters_by_worker(index: LetterIndex) -> None:
    await index.put_letters([EMBED, ELASTIC, OTHER, *NOT_TWINS])
    shared, older = await index.groups()
    assert (shared.fingerprint, shared.workers, shared.total) == ("c", {"embed": 2, "elasticsearch": 2, "qdrant": 1}, 5)
    # The record at 7, that at 8, the one that a store refused, and one of a topic that was created again.
    assert shared.records == 4
    assert (older.workers, older.records) == ({"other": 1}, 1)
    (narrowed,) = await index.groups(Selection(worker="embed", fingerprint="c"))
    assert (narrowed.workers, narrowed.records) == ({"embed": 2}, 2)


async def test_the_letters_of_the_version_before_have_twins_too(
    index: LetterIndex, sql: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    from importlib.resources import files

    await index.put_letters([of("embed", before_store=False), of("elasticsearch", before_store=False)])
    counts = await index.count(EVERYTHING)
    migration = files("headrace_letters").joinpath("migrations/0002_causes_of_several_workers.sql").read_text()
    undo = """
        DROP INDEX headrace.dead_letters_by_record;
        ALTER TABLE headrace.dead_letters DROP COLUMN before_store;
    """
    await sql.execute(undo + migration)
    assert await index.count(EVERYTHING) == counts
    assert await set_aside(index, Action("on-call", "park", Selection(worker="embed"))) == 2
