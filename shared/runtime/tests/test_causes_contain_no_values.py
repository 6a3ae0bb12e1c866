"""Dead letters are grouped by their cause: the kind and the place of an error, and no value."""

from typing import Any

import pytest
from harness.kafka_record import REPLAY_TOPIC, TOPIC, kafka_record
from harness.records import product
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from headrace_runtime.dead_letters import BEFORE_A_STORE, OVERSIZED, fingerprint
from headrace_runtime.decoder import Decoder, Undecoded
from headrace_runtime.validation import invalid
from headrace_schemas.changes import ProductChange
from headrace_schemas.headers import DEAD_REASONS
from headrace_schemas.links import ProductLinks
from headrace_worker.stage import Rejected

decoder = Decoder({TOPIC: ProductChange}, REPLAY_TOPIC)
MARK = "n0tinacause"


def rejection(record: Any) -> Rejected:
    decoded = decoder.decode(record)
    assert isinstance(decoded, Undecoded)
    return decoded.rejection


@pytest.mark.parametrize(
    "fields",
    [
        {"op": MARK},
        {"version": MARK},
        {"occurred_at": MARK},
        {"price": MARK},
        {"attributes": {MARK: {MARK: 2**63}}},
        {"attributes": {MARK + "\x00": 1}},
        {"attributes": MARK},
        {"title": [MARK]},
        {"product_id": MARK * 60},
        {MARK: 1, "title": None},
    ],
)
def test_the_value_at_fault_is_not_in_the_cause(fields: dict[str, Any]) -> None:
    found = rejection(kafka_record(product("p1", 1) | fields, MARK.encode()))
    assert MARK not in " ".join(found.cause)


def test_places_in_a_list_are_one_cause() -> None:
    def cause(good: int) -> tuple[str, ...]:
        links = [{"keyword_id": "k", "text": "t", "score": 0.5, "rank": 1}] * good + [{"keyword_id": ""}]
        with pytest.raises(ValidationError) as caught:
            ProductLinks.model_validate({"product_id": "p", "version": 1, "links": links})
        return invalid(caught.value).cause

    assert cause(0) == cause(7) == ("value_error", "links.*.keyword_id")


def test_the_detail_has_the_number_of_errors() -> None:
    assert "(and 1 more)" in rejection(kafka_record(product("p1", 0, price="x"))).detail


@given(st.text(min_size=1), st.integers(max_value=0), st.integers(1, 10**6))
def test_one_fault_with_different_values_is_one_fingerprint(title: str, version: int, offset: int) -> None:
    one = kafka_record(product("p1", -3))
    other = kafka_record(product("p2", version, title=title, brand=title), offset=offset)
    expected = fingerprint("w", Rejected("invalid", "", ("greater_than_equal", "version")))
    found = rejection(other)
    # A text that cannot be stored is another fault, and it comes first in the record.
    if found.cause[1] == "version":
        assert fingerprint("w", found) == fingerprint("w", rejection(one)) == expected


@given(st.text(), st.text())
def test_a_detail_changes_no_fingerprint(one: str, other: str) -> None:
    def named(detail: str) -> str:
        return fingerprint("w", Rejected("refused_by_store", detail, ("mapper_parsing_exception", "price")))

    assert named(one) == named(other)


@given(st.lists(st.sampled_from(["a", "b", "ab", ""]), min_size=1, max_size=3), st.data())
def test_worker_reason_and_cause_each_make_another_fingerprint(cause: list[str], data: st.DataObject) -> None:
    def drawn() -> tuple[str, str, tuple[str, ...]]:
        parts = data.draw(st.lists(st.sampled_from(["a", "b", "ab", ""]), max_size=3)) or cause
        return data.draw(st.sampled_from(["embed", "qdrant"])), data.draw(st.sampled_from(DEAD_REASONS)), tuple(parts)

    one, other = drawn(), drawn()
    names = [fingerprint(worker, Rejected(reason, "", cause)) for worker, reason, cause in (one, other)]  # type: ignore[arg-type]
    # No worker is at fault if the record itself is wrong.
    causes = [("" if reason in BEFORE_A_STORE else worker, reason, cause) for worker, reason, cause in (one, other)]
    assert (names[0] == names[1]) == (causes[0] == causes[1])


def test_a_record_too_large_to_decode_is_one_cause_and_one_that_a_store_refuses_is_not() -> None:
    def same(cause: tuple[str, ...]) -> bool:
        rejection = Rejected("too_large", "", cause)
        return fingerprint("embed", rejection) == fingerprint("elasticsearch", rejection)

    assert all(same(cause) for cause in OVERSIZED)
    assert not same(("elasticsearch", "413"))
