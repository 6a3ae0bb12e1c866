"""What a source record says of its version, whatever it contains."""

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from headrace_letters.newest_published import published_version

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
AT = datetime(2023, 11, 14, 22, 13, 20, 123_000, tzinfo=UTC)


def record(value: bytes | None, *headers: tuple[str, bytes], timestamp: int = 1_700_000_000_123) -> Any:
    return SimpleNamespace(partition=3, offset=40, timestamp=timestamp, value=value, headers=headers)


def test_a_record_has_its_position_its_times_and_its_trace() -> None:
    value = b'{"op": "upsert", "version": 7, "occurred_at": "2023-11-14T22:13:18+00:00"}'
    found = published_version(record(value, ("traceparent", f"00-{TRACE}-00f067aa0ba902b7-01".encode())), 7)
    assert (found.partition, found.offset, found.version, found.deleted) == (3, 40, 7, False)
    assert (found.published_at, found.trace_id) == (AT, TRACE)
    assert found.occurred_at == datetime(2023, 11, 14, 22, 13, 18, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "deleted"),
    [(None, True), (b'{"op": "delete", "occurred_at": "yesterday"}', True), (b"not JSON", False), (b"[1]", False),
     (b'{"occurred_at": "2023-11-14T22:13:18"}', False), (b'{"occurred_at": 5}', False), (b"\xff", False)],
)  # fmt: skip
def test_a_record_that_does_not_say_it_has_no_time_and_no_trace(value: bytes | None, deleted: bool) -> None:
    found = published_version(record(value, ("traceparent", b"00-nonsense")), 7)
    assert (found.deleted, found.trace_id, found.published_at) == (deleted, None, AT)
    assert found.occurred_at is None or value == b'{"occurred_at": 5}'


@pytest.mark.parametrize("timestamp", [-1, -(2**63), 2**63 - 1, 10**15])
def test_a_record_without_a_time_that_can_be_written_is_of_1970(timestamp: int) -> None:
    assert published_version(record(b"{}", timestamp=timestamp), 7).published_at == datetime(1970, 1, 1, tzinfo=UTC)
