"""The breaker opens when most of the last live changes fail for one cause, and only then."""

import pytest
from harness.kafka_record import kafka_record
from harness.records import product
from hypothesis import given
from hypothesis import strategies as st

from headrace_runtime.attempts import Answered
from headrace_runtime.breaker import Breaker, BreakerOpen
from headrace_schemas.changes import ProductChange
from headrace_worker.settings import BreakerSettings
from headrace_worker.stage import Rejected

WINDOW = 20


def breaker(**settings: object) -> Breaker:
    return Breaker("memory", BreakerSettings.model_validate({"window": WINDOW, "share": 0.5} | settings))


def test_more_than_the_share_of_a_full_window_opens_it() -> None:
    assert breaker().opened_by([None] * 9 + ["f"] * 11) == "f"


def test_exactly_the_share_does_not() -> None:
    assert breaker().opened_by([None] * 10 + ["f"] * 10) is None


def test_a_success_that_completes_the_first_window_opens_it() -> None:
    assert breaker().opened_by([*[None] * 8, *["f"] * 11, None]) == "f"


def test_a_held_worker_continues_when_the_cause_is_removed() -> None:
    """Also if the changes before the batch fill most of the first window: their dead letters exist already."""
    one = breaker()
    change = ProductChange.model_validate(product("p", 1))
    applied = Answered(kafka_record(b"{}"), change)
    rejected = Answered(kafka_record(b"{}"), change, rejection=Rejected("invalid", "is wrong"))
    other = Answered(kafka_record(b"{}"), change, rejection=Rejected("too_large", "is too large"))
    one.check([rejected] * 19)
    for _ in range(2):
        with pytest.raises(BreakerOpen):
            one.check([rejected])
    one.check([other])
    one.check([applied])
    with pytest.raises(BreakerOpen):
        one.check([rejected])


def test_rejections_that_may_not_hold_never_open_it() -> None:
    change = ProductChange.model_validate(product("p", 1))
    rejection = Rejected("too_large", "is too large", may_hold=False)
    rejected = Answered(kafka_record(b"{}"), change, rejection=rejection)
    one = breaker()
    for _ in range(3):
        assert not one.check([rejected] * WINDOW)


@pytest.mark.parametrize("count", [1, WINDOW - 1])
def test_fewer_changes_than_the_window_never_open_it(count: int) -> None:
    assert breaker().opened_by(["f"] * count) is None


def test_batches_add_up_to_a_window() -> None:
    one = breaker()
    assert [one.opened_by(["f"] * 5) for _ in range(4)] == [None, None, None, "f"]


def test_rejects_of_different_causes_are_not_systemic() -> None:
    assert breaker().opened_by(["f", "g"] * WINDOW) is None


def test_a_systemic_fault_in_the_middle_of_a_large_batch_opens_it() -> None:
    assert breaker().opened_by([None] * 50 + ["f"] * WINDOW + [None] * 50) == "f"


def test_a_batch_that_opens_the_breaker_is_not_counted_and_opens_it_again() -> None:
    one = breaker()
    one.opened_by([None] * WINDOW)
    for _ in range(3):
        assert one.opened_by(["f"] * 11) == "f"
    # After the deploy is fixed the same records pass, and so does a single reject among them.
    assert one.opened_by([None] * 5 + ["f"]) is None


def test_old_changes_leave_the_window() -> None:
    one = breaker()
    one.opened_by(["f"] * 10 + [None] * 10)
    one.opened_by([None] * 10)
    assert one.opened_by(["f"] * 10) is None


def test_the_breaker_never_opens_if_rejects_are_allowed() -> None:
    assert breaker(allow_rejects=True).opened_by(["f"] * 1000) is None


@given(st.lists(st.sampled_from([None, None, "f", "g"]), max_size=100), st.lists(st.integers(1, 30), min_size=1))
def test_it_opens_exactly_if_a_window_has_too_many_of_a_cause_of_its_last_batch(
    stream: list[str | None], sizes: list[int]
) -> None:
    one, start, number = breaker(), 0, 0
    while start < len(stream):
        end = min(start + sizes[number % len(sizes)], len(stream))
        windows = [stream[last - WINDOW : last] for last in range(max(start + 1, WINDOW), end + 1)]
        causes = {cause for cause in stream[start:end] if cause is not None}
        expected = any(window.count(cause) > WINDOW / 2 for window in windows for cause in causes)
        assert (one.opened_by(stream[start:end]) is not None) == expected
        if expected:
            return
        start, number = end, number + 1
