"""The data of the release before is as old in a year as on the day on which it was made."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from upgrade.loading import DAY, Moved

LATER = datetime(2028, 2, 10, 9, tzinfo=UTC)


def test_the_times_of_the_data_move_with_the_clock() -> None:
    now = int(LATER.timestamp() * 1000)
    moved = Moved(now)
    times = [at for _, _, at, *_ in moved.records]
    assert now - DAY <= max(times) <= now
    headers = [dict(headers) for *_, headers in moved.records]
    failed = [
        header["headrace-dead-first-failed-at"] for header in headers if "headrace-dead-first-failed-at" in header
    ]
    assert failed
    for at in failed:
        assert timedelta(0) <= LATER - datetime.fromisoformat(at.decode()) < timedelta(days=1, hours=1)


def test_what_names_a_record_by_its_time_still_finds_it() -> None:
    """A letter's id contains the time of its source record, and the rows of letters name it."""
    moved = Moved(int(LATER.timestamp() * 1000))
    sources = {f"{topic}:{partition}": set[int]() for topic, partition, *_ in moved.records}
    ids: set[str] = set()
    for topic, partition, at, _, _, headers in moved.records:
        sources[f"{topic}:{partition}"].add(at)
        ids |= {value.decode() for name, value in headers if name == "headrace-dead-id"}
    rows = moved.read("postgres.sql")
    for id in ids:
        _, topic, partition, _, at = id.split(":")
        assert int(at) in sources[f"{topic}:{partition}"]
        assert id in rows


def test_the_times_of_the_catalogue_stay() -> None:
    moved = Moved(int(LATER.timestamp() * 1000))
    changes: list[Any] = [json.loads(record[4]) for record in moved.records if record[4].startswith(b'{"op"')]
    assert {change["occurred_at"][:10] for change in changes} == {"2026-03-01", "2026-03-02"}
