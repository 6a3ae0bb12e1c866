"""What a poll takes into memory: as much as fits, and every value that a worker may accept."""

import pytest

from headrace_runtime.decoder import Omitted
from headrace_runtime.poll_limit import PollLimit


def after(unpacked: int, *, max_bytes: int = 100, largest_value: int = 10) -> PollLimit:
    """A limit in a poll that has unpacked so many bytes."""
    limit = PollLimit(max_bytes, largest_value)
    for _ in range(unpacked):
        limit.kept(b"x")
    return limit


def test_a_value_that_no_worker_accepts_is_kept_only_while_there_is_room() -> None:
    limit = after(0)
    assert limit.kept(b"y" * 60) == b"y" * 60
    assert limit.kept(b"y" * 40) == b"y" * 40
    omitted = limit.kept(b"y" * 11)
    assert isinstance(omitted, Omitted)
    assert omitted.size == 11
    assert isinstance(after(90).kept(b"y" * 11), Omitted)


def test_a_value_that_a_worker_accepts_is_always_kept() -> None:
    assert after(100).kept(b"y" * 10) == b"y" * 10
    assert after(100).kept(b"y") == b"y"
    assert after(100).kept(None) is None


def test_an_omitted_value_takes_no_room() -> None:
    limit = after(80)
    limit.kept(b"y" * 21)
    assert limit.kept(b"y" * 20) == b"y" * 20


@pytest.mark.parametrize(("unpacked", "records"), [(0, 10), (1, 9), (40, 6), (85, 1), (99, 1), (100, 1)])
def test_a_poll_takes_so_many_records_that_even_the_largest_fit(unpacked: int, records: int) -> None:
    assert after(unpacked).records == records


@pytest.mark.parametrize(
    ("largest_value", "max_bytes", "last"), [(10, 100, 90), (80, 100, 50), (80, 101, 51)], ids=["small", "half", "odd"]
)
def test_a_poll_ends_when_one_more_value_might_exceed_it(largest_value: int, max_bytes: int, last: int) -> None:
    assert not after(last, largest_value=largest_value, max_bytes=max_bytes).reached
    assert after(last + 1, largest_value=largest_value, max_bytes=max_bytes).reached


def test_each_poll_has_the_whole_limit() -> None:
    limit = after(100)
    limit.begin()
    assert not limit.reached
    assert limit.records == 10
    assert limit.kept(b"y" * 90) == b"y" * 90
    assert isinstance(limit.kept(b"y" * 11), Omitted)
