"""Which letters of a selection a replay takes, decided without a server."""

import pytest

from headrace_letters.replay_order import replayable
from headrace_letters.selection import STATUSES, Selection, Status


def test_without_a_status_a_replay_takes_what_waits() -> None:
    assert replayable(Selection(worker="embed")) == Selection(worker="embed", status=("waiting",))


def test_parked_letters_are_taken_if_they_are_asked_for() -> None:
    selection = Selection(status=("parked", "waiting"))
    assert replayable(selection) == selection


@pytest.mark.parametrize("status", [status for status in STATUSES if status not in ("waiting", "parked")])
def test_nothing_else_is_taken_even_if_it_is_asked_for(status: Status) -> None:
    assert replayable(Selection(status=(status,))).status == ()
    assert replayable(Selection(status=(status, "parked"))).status == ("parked",)
