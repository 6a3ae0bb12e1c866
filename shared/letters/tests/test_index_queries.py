"""Groups, pages, counts and walks over a selection."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from harness.letters import letter

from headrace_letters.actions import Action
from headrace_letters.index import LetterIndex
from headrace_letters.index_settings import IndexSettings
from headrace_letters.letter import Letter
from headrace_letters.letter_rows import IndexedLetter
from headrace_letters.replay_answers import ReplayAnswer
from headrace_letters.selection import EVERYTHING, Selection
from headrace_runtime.decoder import Position

NOW = datetime.now(UTC)
HOUR = timedelta(hours=1)


def some(count: int, **said: Any) -> list[Letter]:
    """Letters of three partitions that failed at intervals of one minute; the last failed one minute ago."""
    start = said.pop("start", 0)
    return [
        letter(
            f"p{number:03}",
            failed_at=NOW - timedelta(minutes=start + count - number),
            at=Position("dead.qdrant", number % 3, number),
            **said,
        )
        for number in range(start, start + count)
    ]


async def walked(index: LetterIndex, selection: Selection, size: int = 500) -> list[str]:
    return [one.letter.id async for letters in index.walk(selection, size=size) for one in letters]


def ids(letters: Iterable[IndexedLetter]) -> list[str]:
    return [one.letter.id for one in letters]


async def test_pages_follow_each_other_from_the_newest_and_contain_every_letter_once(index: LetterIndex) -> None:
    # Half of them failed at one and the same moment.
    letters = some(20) + [replace(one, id=f"q{one.id}", failed_at=NOW) for one in some(20)]
    await index.put_letters(letters)
    found, after = [], None
    while True:
        page = await index.page(EVERYTHING, limit=7, after=after)
        found += page.letters
        if (after := page.next) is None:
            break
    assert sorted(ids(found)) == sorted(one.id for one in letters)
    assert [one.letter.failed_at for one in found] == sorted((one.failed_at for one in letters), reverse=True)
    assert len(found) == 40


@pytest.mark.parametrize("cursor", ["", "x", "1", "1.x", f"{10**30}.1", f"1.{2**63}", "1.-1"])
async def test_a_cursor_that_no_page_returned_is_refused(index: LetterIndex, cursor: str) -> None:
    with pytest.raises(ValueError, match="no page ends at this place"):
        await index.page(EVERYTHING, after=cursor)


SELECTIONS = {
    "worker": (Selection(worker="embed"), ["p003"]),
    "reason": (Selection(reason="too_large"), ["p004"]),
    "fingerprint": (Selection(fingerprint="cause of too_large"), ["p004"]),
    "since": (Selection(since=NOW - timedelta(minutes=2)), ["p008", "p009"]),
    "until": (Selection(until=NOW - timedelta(minutes=8)), ["p000", "p001"]),
    "key": (Selection(key=b"\xff\x00k"), ["p005"]),
    "status": (Selection(status=("resolved", "superseded")), ["p006", "p007"]),
    "ids": (Selection(ids=("p001", "p002", "nobody")), ["p001", "p002"]),
    "cause and status": (Selection(fingerprint="cause of invalid", status=("resolved",)), ["p006"]),
    "no letter": (Selection(worker="\x00"), []),
}


@pytest.mark.parametrize("name", SELECTIONS)
async def test_a_page_a_count_and_a_walk_agree_on_a_selection(index: LetterIndex, name: str) -> None:
    letters = some(10)
    letters[3] = replace(letters[3], worker="embed")
    letters[4] = replace(letters[4], reason="too_large", fingerprint="cause of too_large")
    letters[5] = replace(letters[5], key=b"\xff\x00k")
    await index.put_letters(letters)
    await index.put_answers([ReplayAnswer("p006", 1, "applied"), ReplayAnswer("p007", 1, "superseded")])
    selection, expected = SELECTIONS[name]
    assert sorted(ids((await index.page(selection)).letters)) == expected
    assert sorted(await walked(index, selection, size=2)) == expected
    assert sum((await index.count(selection)).values()) == len(expected)
    assert sum(group.total for group in await index.groups(selection)) == len(expected)


async def test_a_walk_has_the_order_of_the_topics(index: LetterIndex) -> None:
    letters = some(10)
    await index.put_letters(letters)
    in_order = [one.id for one in sorted(letters, key=lambda one: one.at)]
    assert await walked(index, EVERYTHING, size=4) == in_order


async def test_a_letter_that_fails_again_during_a_walk_does_not_occur_twice(index: LetterIndex) -> None:
    await index.put_letters(some(4))
    met = []
    async for (one,) in index.walk(EVERYTHING, size=1):
        met.append(one.letter.id)
        again = replace(one.letter, attempts=2, at=Position("dead.qdrant", one.letter.at.partition, 100 + len(met)))
        await index.put_letters([again])
    assert sorted(met) == ["p000", "p001", "p002", "p003"]


async def test_a_group_has_counts_times_and_an_error(index: LetterIndex) -> None:
    await index.put_letters(some(6) + some(2, start=6, reason="too_large"))
    await index.put_answers([ReplayAnswer("p000", 1, "applied")])
    first, second = await index.groups()
    assert (first.fingerprint, first.workers, first.reason) == ("cause of invalid", {"qdrant": 6}, "invalid")
    assert first.counts == {"waiting": 5, "resolved": 1}
    assert (first.first_seen, first.last_seen) == (NOW - timedelta(minutes=6), NOW - timedelta(minutes=1))
    assert (first.sample_id, first.sample_error) == ("p005", "p005 failed the 1. time: invalid")
    assert second.counts == {"waiting": 2}


@pytest.mark.parametrize(("window", "steps"), [(24 * HOUR, 24), (HOUR, 60)])
async def test_the_series_of_a_group_ends_now_and_has_no_older_failures(
    index: LetterIndex, window: timedelta, steps: int
) -> None:
    step = window / steps
    ages = [timedelta(seconds=30), step * 5.5, step * 5.5, window + step]
    now = datetime.now(UTC)
    await index.put_letters([letter(f"p{place}", failed_at=now - age) for place, age in enumerate(ages)])
    (group,) = await index.groups(window=window, steps=steps)
    assert len(group.series) == steps
    assert group.series[-1] == 1
    assert sum(group.series[-7:-5]) == 2
    assert sum(group.series) == 3


async def test_a_replay_without_an_answer_in_time_counts_as_waiting(
    index: LetterIndex, index_settings: IndexSettings
) -> None:
    patient = LetterIndex(index_settings.postgres, index_settings.names.schema, replaying_for=timedelta(hours=1))
    hasty = LetterIndex(index_settings.postgres, index_settings.names.schema, replaying_for=timedelta(0))
    await index.put_letters(some(3))
    action = await index.begin(Action("on-call", "replay", EVERYTHING))
    await index.mark_replaying(action, some(3)[:2])
    try:
        for one, counts in ((patient, {"waiting": 1, "replaying": 2}), (hasty, {"waiting": 3})):
            assert await one.count(EVERYTHING) == counts
            assert (await one.groups())[0].counts == counts
            assert len((await one.page(Selection(status=("waiting",)))).letters) == counts["waiting"]
            assert len(await walked(one, Selection(status=("waiting",)))) == counts["waiting"]
    finally:
        await patient.close()
        await hasty.close()


async def test_a_receipt_without_its_letter_is_not_shown_until_the_letter_comes(index: LetterIndex) -> None:
    await index.put_answers([ReplayAnswer("p000", 1, "applied")])
    assert (await index.page(EVERYTHING)).letters == []
    assert await index.count(EVERYTHING) == {}
    assert await walked(index, EVERYTHING) == []
    await index.put_letters(some(1))
    assert await index.count(EVERYTHING) == {"resolved": 1}
