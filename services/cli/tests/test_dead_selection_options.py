"""Options choose letters, and a command never changes all letters by mistake."""

from datetime import UTC, datetime, timedelta

import pytest

from headrace_cli.dead.selection_options import explicit, moment, selection
from headrace_cli.errors import CommandError
from headrace_letters.selection import Selection

NOW = datetime(2026, 3, 1, 3, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("90m", NOW - timedelta(minutes=90)),
        ("2d", NOW - timedelta(days=2)),
        ("2026-02-28T23:30:00Z", datetime(2026, 2, 28, 23, 30, tzinfo=UTC)),
        ("2026-03-01T08:30:00+09:00", datetime(2026, 2, 28, 23, 30, tzinfo=UTC)),
    ],
)
def test_a_time_is_absolute_or_a_duration_ago(text: str, wanted: datetime) -> None:
    assert moment("since", text, NOW) == wanted


@pytest.mark.parametrize("text", ["", "yesterday", "5", "-5m", "5 m", "0001-01-01T00:00:00+23:00", "9999999d"])
def test_an_invalid_time_is_a_wrong_call(text: str) -> None:
    with pytest.raises(CommandError, match="--since is a time"):
        moment("since", text, NOW)


def test_a_key_is_text_or_bytes() -> None:
    assert selection(key="방수").key == "방수".encode()
    assert selection(key="0xff00").key == b"\xff\x00"


def test_a_change_to_all_letters_needs_the_option_all() -> None:
    with pytest.raises(CommandError, match="--all"):
        explicit(Selection(), every=False)
    with pytest.raises(CommandError, match="--all"):
        explicit(Selection(worker="qdrant"), every=True)
    assert explicit(Selection(), every=True) == Selection()
    assert explicit(Selection(worker="qdrant"), every=False) == Selection(worker="qdrant")
