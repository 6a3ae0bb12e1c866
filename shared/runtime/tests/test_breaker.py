"""The breaker opens when most of the last live changes fail for one cause, and only then."""

from collections.abc import Sequence

import pytest
from harness.kafka_record import TOPIC, kafka_record
from harness.records import product
from hypothesis import given
from hypothesis import strategies as st

from headrace_runtime.answers import Answered
from headrace_runtime.breaker import Breaker, Opened, Window
from headrace_runtime.dead_letters import fingerprint
from headrace_runtime.decoder import Decoded
from headrace_runtime.holds import Cause
from headrace_schemas.changes import ProductChange
from headrace_worker.settings import BreakerSettings
from headrace_worker.stage import Rejected

WINDOW = 20


def settings_of(**changed: object) -> BreakerSettings:
    return BreakerSettings.model_validate({"window": WINDOW, "share": 0.5} | changed)


class TakingWindow(Window):
    """Counts each batch that does not open it, as the path of a batch does."""

    def taken(self, rejections: Sequence[str | None]) -> Opened | None:
        opened = self.opened_by(rejections)
        if opened is None:
            self.count(rejections)
        return opened


def window(**changed: object) -> TakingWindow:
    return TakingWindow(settings_of(**changed))


def test_more_than_the_share_of_a_full_window_opens_it() -> None:
    assert window().taken([None] * 9 + ["f"] * 11) == ("f", 11)


def test_exactly_the_share_does_not() -> None:
    assert window().taken([None] * 10 + ["f"] * 10) is None


def test_changes_before_a_batch_that_has_none_of_their_cause_do_not() -> None:
    one = window()
    one.count(["f"] * 19)
    assert one.taken(["g"]) is None
    assert one.taken([None]) is None


def test_a_success_that_completes_the_first_window_opens_it() -> None:
    assert window().taken([*[None] * 8, *["f"] * 11, None]) == ("f", 11)


CHANGE = ProductChange.model_validate(product("p", 1))
WRONG = Rejected("invalid", "price: 'abc' is wrong", ("float_parsing", "price"), words="price: is wrong")


def answered(rejection: Rejected | None = None, topic: str = TOPIC, offset: int = 0) -> Answered:
    return Answered(kafka_record(b"{}", topic=topic, offset=offset), CHANGE, rejection=rejection)


def test_a_held_topic_continues_when_the_cause_is_removed() -> None:
    """Also if the changes before the batch fill most of the first window: their dead letters exist already."""
    one = Breaker("memory", settings_of())
    other = Rejected("too_large", "is too large")
    one.count([answered(WRONG)] * 19)
    for _ in range(2):
        assert set(one.check([answered(WRONG)])) == {TOPIC}
    assert one.check([answered(other)]) == {}
    one.count([answered(other)])
    assert one.check([answered()]) == {}
    assert set(one.check([answered(WRONG)])) == {TOPIC}


def test_each_topic_has_a_window_of_its_own() -> None:
    keywords = "headrace.keywords"
    one = Breaker("memory", settings_of())
    one.count([answered(WRONG)] * 15)
    assert one.check([answered(WRONG, keywords)] * 15) == {}
    one.count([answered(topic=keywords)] * 15)
    assert set(one.check([answered(WRONG)] * 5 + [answered(WRONG, keywords)] * 5)) == {TOPIC}


def test_results_are_counted_in_the_order_of_their_records() -> None:
    one = Breaker("memory", settings_of())
    settled = [answered(WRONG if n % 2 == 0 else None, offset=n) for n in range(WINDOW)]
    one.count(sorted(settled, key=lambda result: result.rejection is None))
    # With two more, a rejection and a success leave the window.
    assert one.check([answered(WRONG)]) == {}
    assert set(one.check([answered(WRONG)] * 2)) == {TOPIC}


def test_the_reason_is_in_words_without_a_value_of_the_record() -> None:
    one = Breaker("memory", settings_of())
    cause = one.check([answered()] * 7 + [answered(WRONG)] * 13)[TOPIC]
    assert cause == Cause("13 of the last 20 products: price: is wrong", fingerprint("memory", WRONG))
    refused = Rejected("refused_by_store", "price 'abc'", ("elasticsearch", "document_parsing_exception", "price"))
    assert one.check([answered(refused)] * 20)[TOPIC].reason == (
        "20 of the last 20 products: refused by store: elasticsearch, document_parsing_exception, price"
    )


def test_records_without_an_answer_open_nothing() -> None:
    one = Breaker("memory", settings_of())
    open_records = [Decoded(kafka_record(b"{}"), CHANGE)] * 20
    assert one.check(open_records) == {}
    assert set(one.check([*open_records, *[answered(WRONG)] * 11])) == {TOPIC}
    assert one.check([*open_records, *[answered(WRONG)] * 10]) == {}


def test_rejections_that_may_not_hold_never_open_it() -> None:
    change = ProductChange.model_validate(product("p", 1))
    rejection = Rejected("too_large", "is too large", may_hold=False)
    rejected = Answered(kafka_record(b"{}"), change, rejection=rejection)
    one = Breaker("memory", settings_of())
    for _ in range(3):
        assert not one.check([rejected] * WINDOW)
        one.count([rejected] * WINDOW)


@pytest.mark.parametrize("count", [1, WINDOW - 1])
def test_fewer_changes_than_the_window_never_open_it(count: int) -> None:
    assert window().taken(["f"] * count) is None


def test_batches_add_up_to_a_window() -> None:
    one = window()
    assert [one.taken(["f"] * 5) for _ in range(4)] == [None, None, None, ("f", 20)]


def test_rejects_of_different_causes_are_not_systemic() -> None:
    assert window().taken(["f", "g"] * WINDOW) is None


def test_a_systemic_fault_in_the_middle_of_a_large_batch_opens_it() -> None:
    assert window().taken([None] * 50 + ["f"] * WINDOW + [None] * 50) == ("f", 20)


def test_a_batch_that_opens_the_breaker_is_not_counted_and_opens_it_again() -> None:
    one = window()
    one.taken([None] * WINDOW)
    for _ in range(3):
        assert one.taken(["f"] * 11) == ("f", 11)
    # After the deploy is fixed the same records pass, and so does a single reject among them.
    assert one.taken([None] * 5 + ["f"]) is None


def test_old_changes_leave_the_window() -> None:
    one = window()
    one.taken(["f"] * 10 + [None] * 10)
    one.taken([None] * 10)
    assert one.taken(["f"] * 10) is None


def test_the_breaker_never_opens_if_rejects_are_allowed() -> None:
    assert window(allow_rejects=True).taken(["f"] * 1000) is None


@given(st.lists(st.sampled_from([None, None, "f", "g"]), max_size=100), st.lists(st.integers(1, 30), min_size=1))
def test_it_opens_exactly_if_a_window_has_too_many_of_a_cause_of_its_last_batch(
    stream: list[str | None], sizes: list[int]
) -> None:
    one, start, number = window(), 0, 0
    while start < len(stream):
        end = min(start + sizes[number % len(sizes)], len(stream))
        windows = [stream[last - WINDOW : last] for last in range(max(start + 1, WINDOW), end + 1)]
        causes = {cause for cause in stream[start:end] if cause is not None}
        expected = any(window.count(cause) > WINDOW / 2 for window in windows for cause in causes)
        assert (one.taken(stream[start:end]) is not None) == expected
        if expected:
            return
        start, number = end, number + 1
