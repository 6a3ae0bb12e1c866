"""Which letters of a selection a replay takes, decided without a server."""

import pytest

from headrace_letters.replay_order import replayable
from headrace_letters.selection import STATUSES, Selection, Status


def test_a_replay_takes_waiting_letters_by_default() -> None:
    assert replayable(Selection(worker="embed")) == Selection(worker="embed", status=("waiting",))


def test_a_replay_takes_parked_letters_if_the_selection_names_them() -> None:
    selection = Selection(status=("parked", "waiting"))
    assert replayable(selection) == selection


@pytest.mark.parametrize("status", [status for status in STATUSES if status not in ("waiting", "parked")])
def test_a_replay_takes_no_other_letters_even_if_the_selection_names_them(status: Status) -> None:
    assert replayable(Selection(status=(status,))).status == ()
    assert replayable(Selection(status=(status, "parked"))).status == ("parked",)
