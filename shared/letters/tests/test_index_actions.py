"""Actions of operators are recorded with their actor, and never weaken a status."""

from collections.abc import Sequence
from typing import Any

import pytest
from harness.letters import letter, set_aside

from headrace_letters.actions import Action, AuditFilter
from headrace_letters.index import LetterIndex
from headrace_letters.replay_answers import ReplayAnswer
from headrace_letters.selection import EVERYTHING, Selection, Status

HOSTILE = "a\x00b\ud800<script>"


async def statuses(index: LetterIndex, *ids: str) -> list[Status]:
    found = await index.get(ids)
    return [found[id].status for id in ids]


async def test_the_status_of_a_letter_only_gets_stronger_in_a_replay(index: LetterIndex) -> None:
    one = letter("p1")
    await index.put_letters([one])
    action = await index.begin(Action("on-call", "replay", EVERYTHING))
    await index.mark_replaying(action, [one])
    found = (await index.get(["p1"]))["p1"]
    assert (found.status, found.replayed_at is not None) == ("replaying", True)
    await index.put_answers([ReplayAnswer("p1", 1, "dead")])
    assert await statuses(index, "p1") == ["replaying"]
    again = letter("p1", attempts=2)
    await index.put_letters([again])
    found = (await index.get(["p1"]))["p1"]
    assert (found.status, found.replayed_at) == ("waiting", None)
    assert [failure.attempt for failure in found.failures] == [1, 2]
    await index.mark_replaying(action, [again])
    await index.put_answers([ReplayAnswer("p1", 2, "applied")])
    await index.mark_replaying(action, [again])
    assert await statuses(index, "p1") == ["resolved"]


@pytest.mark.parametrize(("act", "status"), [("park", "parked"), ("discard", "discarded")])
async def test_park_and_discard_change_no_letter_with_a_stronger_status(
    index: LetterIndex, act: str, status: str
) -> None:
    await index.put_letters([letter("p1"), letter("p2"), letter("p3", worker="embed")])
    await index.put_answers([ReplayAnswer("p2", 1, "applied")])
    made = await set_aside(index, Action("on-call", act, Selection(worker="qdrant"), "no use"))
    assert made == 1
    assert await statuses(index, "p1", "p2", "p3") == [status, "resolved", "waiting"]
    (row,) = await index.audit()
    assert (row.actor, row.name, row.selection, row.reason) == ("on-call", act, {"worker": "qdrant"}, "no use")
    assert (row.count, row.outcome, row.finished_at is not None) == (1, status, True)
    assert await index.actions_on("p1") == [row]
    assert await index.actions_on("p2") == []


async def test_a_discarded_letter_that_fails_again_is_waiting(index: LetterIndex) -> None:
    await index.put_letters([letter("p1")])
    await set_aside(index, Action("on-call", "discard", EVERYTHING, "no use"))
    await index.put_letters([letter("p1")])
    assert await statuses(index, "p1") == ["discarded"]
    await index.put_letters([letter("p1", attempts=2)])
    assert await statuses(index, "p1") == ["waiting"]


async def test_a_letter_is_parked_after_five_attempts(index: LetterIndex) -> None:
    await index.put_letters([letter("p1", attempts=attempt) for attempt in range(1, 5)])
    assert await statuses(index, "p1") == ["waiting"]
    await index.put_letters([letter("p1", attempts=5)])
    assert await statuses(index, "p1") == ["parked"]
    await index.put_answers([ReplayAnswer("p1", 5, "applied")])
    assert await statuses(index, "p1") == ["resolved"]


async def test_an_edited_letter_is_superseded_by_the_version_that_was_published(index: LetterIndex) -> None:
    one = letter("p1")
    await index.put_letters([one])
    action = await index.begin(Action("on-call", "import", EVERYTHING))
    await index.mark_superseded(action, one, by=8)
    found = (await index.get(["p1"]))["p1"]
    assert (found.status, found.superseded_by) == ("superseded", 8)


async def test_an_action_that_was_killed_stays_in_the_audit_as_unfinished(index: LetterIndex) -> None:
    first = await index.begin(Action("on-call", "replay", Selection(key=b"\xff"), "fixed the mapping"))
    second = await index.begin(Action("ben", "replay", EVERYTHING))
    await index.finish(second, 3, "3 resolved")
    newest, oldest = await index.audit()
    assert (newest.number, newest.outcome, newest.count) == (second, "3 resolved", 3)
    assert (oldest.number, oldest.outcome, oldest.finished_at) == (first, None, None)
    assert oldest.selection == {"key": "0xff"}
    assert [row.number for row in await index.audit(before=second)] == [first]


async def test_the_audit_is_filtered_by_actor_action_and_time(index: LetterIndex) -> None:
    first = await index.begin(Action("Ann_Lee", "park", EVERYTHING))
    second = await index.begin(Action("ben%", "replay", EVERYTHING))
    (newest, oldest) = await index.audit()

    async def found(**chosen: Any) -> list[int]:
        return [row.number for row in await index.audit(chosen=AuditFilter(**chosen))]

    assert (await found(actor="ann_"), await found(actor="%"), await found(actor="n")) == (
        [first], [second], [second, first],
    )  # fmt: skip
    assert (await found(name="park"), await found(name="import")) == ([first], [])
    assert (await found(since=newest.at), await found(until=newest.at)) == ([second], [first])
    assert await found(actor="ann", name="park", since=oldest.at, until=newest.at) == [first]
    assert await found(actor="a\x00") == []


async def test_untrusted_text_of_an_operator_is_recorded(index: LetterIndex) -> None:
    selection = Selection(worker=HOSTILE, reason=HOSTILE, fingerprint=HOSTILE, key=b"\x00", ids=(HOSTILE,))
    number = await index.begin(Action(HOSTILE, "replay", selection, HOSTILE))
    await index.finish(number, 0, HOSTILE)
    (row,) = await index.audit()
    assert (row.actor, row.reason, row.outcome) == ("a␀b?<script>",) * 3


@pytest.mark.parametrize("ids", [(), ("nobody",), ("p1", "p1")])
async def test_an_id_that_is_unknown_is_missing_from_the_answer(index: LetterIndex, ids: Sequence[str]) -> None:
    await index.put_letters([letter("p1")])
    assert set(await index.get(ids)) == set(ids) - {"nobody"}
