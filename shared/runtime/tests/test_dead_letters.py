"""A dead letter is the record byte for byte, with headers that describe the failure, and fits its topic."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from harness.kafka_record import REPLAY_TOPIC, TIMESTAMP_MS, TOPIC, kafka_record
from hypothesis import given
from hypothesis import strategies as st

from headrace_runtime.dead_letters import attempts, dead_letter, fingerprint, is_ours
from headrace_runtime.decoder import Omitted
from headrace_runtime.publisher import Outgoing
from headrace_schemas import headers
from headrace_worker.stage import Rejected

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
REJECTION = Rejected("refused_by_store", "price is no number", ("mapper_parsing_exception", "price"))
LIMIT = 2_000_000


def letter(
    record: Any, rejection: Rejected = REJECTION, *, now: datetime = NOW, max_bytes: int = LIMIT, whole: bool = True
) -> Outgoing:
    again = record.topic == REPLAY_TOPIC
    topic = "headrace.dead.qdrant"
    return dead_letter("qdrant", topic, record, rejection, now=now, max_bytes=max_bytes, replayed=again, whole=whole)


def own(outgoing: Outgoing) -> dict[str, bytes]:
    """The letter's headers by name. Fails if one of ours is there twice."""
    names = [name for name, _ in outgoing.headers if name.startswith(("headrace-dead", "__connect"))]
    assert len(names) == len(set(names))
    return {name: value for name, value in outgoing.headers if value is not None}


def replayed(outgoing: Outgoing, offset: int = 0) -> Any:
    """The letter as the record of an operator's replay."""
    dead_id = own(outgoing)[headers.DEAD_ID]
    pairs = [*outgoing.headers, (headers.REPLAY_OF, dead_id)]
    return kafka_record(outgoing.value, outgoing.key, topic=REPLAY_TOPIC, offset=offset, timestamp=1, headers=pairs)


def failed(error_with: str) -> Rejected:
    """A rejection with an exception that was really raised."""
    try:
        raise ValueError(error_with)
    except ValueError as error:
        return Rejected("refused_by_store", "detail", ("cause",), error)


HEADER = st.tuples(st.sampled_from(["x", "traceparent", headers.SCHEMA]), st.none() | st.binary(max_size=20))


@given(st.none() | st.binary(), st.none() | st.binary(), st.lists(HEADER, max_size=5))
def test_key_value_and_headers_stay_byte_for_byte(
    key: bytes | None, value: bytes | None, pairs: list[tuple[str, bytes | None]]
) -> None:
    made = letter(kafka_record(value, key, headers=pairs))
    assert (made.topic, made.key, made.value) == ("headrace.dead.qdrant", key, value)
    assert list(made.headers)[: len(pairs)] == pairs


def test_its_headers_describe_the_origin_the_failure_and_the_time() -> None:
    assert own(letter(kafka_record(b"v", b"k", partition=3, offset=41))) == {
        headers.DEAD_ID: f"qdrant:{TOPIC}:3:41:{TIMESTAMP_MS}".encode(),
        headers.DEAD_REASON: b"refused_by_store",
        headers.DEAD_FINGERPRINT: fingerprint("qdrant", REJECTION).encode(),
        headers.DEAD_ATTEMPTS: b"1",
        headers.DEAD_FIRST_FAILED_AT: b"2026-01-02T03:04:05+00:00",
        headers.DEAD_FAILED_AT: b"2026-01-02T03:04:05+00:00",
        headers.CONNECT_TOPIC: TOPIC.encode(),
        headers.CONNECT_PARTITION: b"3",
        headers.CONNECT_OFFSET: b"41",
        headers.CONNECT_NAME: b"qdrant",
        headers.CONNECT_STAGE: b"TASK_PUT",
        headers.CONNECT_EXCEPTION: b"refused_by_store/mapper_parsing_exception/price",
        headers.CONNECT_MESSAGE: b"price is no number",
    }


@pytest.mark.parametrize("reason", ["not_json", "invalid", "key_mismatch", "null_without_version", "unknown_schema"])
def test_an_undecoded_record_failed_in_its_conversion(reason: Any) -> None:
    assert own(letter(kafka_record(b"v"), Rejected(reason, "d")))[headers.CONNECT_STAGE] == b"VALUE_CONVERTER"


def test_a_replay_that_fails_again_keeps_its_id_and_origin_and_raises_the_attempts() -> None:
    first = letter(kafka_record(b"v", b"k", partition=3, offset=41))
    made = first
    for attempt in range(2, 8):
        made = letter(replayed(made, offset=attempt), now=NOW + timedelta(days=attempt))
        assert own(made)[headers.DEAD_ATTEMPTS] == str(attempt).encode()
        assert own(made)[headers.DEAD_FAILED_AT] > own(first)[headers.DEAD_FAILED_AT]
        for name in (
            headers.DEAD_ID,
            headers.DEAD_FIRST_FAILED_AT,
            headers.CONNECT_TOPIC,
            headers.CONNECT_PARTITION,
            headers.CONNECT_OFFSET,
        ):
            assert own(made)[name] == own(first)[name]


def test_a_live_record_with_the_headers_of_a_letter_is_a_letter_of_its_own() -> None:
    first = letter(kafka_record(b"v", b"k", partition=3, offset=41))
    sent_again = replayed(first, offset=7)
    sent_again.topic = TOPIC
    made = letter(sent_again, now=NOW + timedelta(days=1))
    assert own(made) == own(letter(kafka_record(b"v", b"k", offset=7, timestamp=1), now=NOW + timedelta(days=1)))


@given(st.lists(HEADER, max_size=3), st.integers(1, 12))
def test_repeated_failures_add_no_headers(pairs: list[tuple[str, bytes | None]], times: int) -> None:
    made = first = letter(kafka_record(b"v", b"k", headers=pairs))
    for _ in range(times):
        made = letter(replayed(made))
    assert sorted(name for name, _ in made.headers) == sorted(name for name, _ in first.headers)
    assert made.value == first.value


def test_a_second_failure_removes_the_stack_trace_of_the_first() -> None:
    first = letter(kafka_record(b"v"), failed("once"))
    assert headers.CONNECT_STACKTRACE in own(first)
    assert headers.CONNECT_STACKTRACE not in own(letter(replayed(first)))
    assert headers.REPLAY_OF not in own(letter(replayed(first)))


def test_a_long_stack_trace_keeps_its_end() -> None:
    stacktrace = own(letter(kafka_record(b"v"), failed("x" * 20_000 + "the end")))[headers.CONNECT_STACKTRACE]
    assert len(stacktrace) == 8192
    assert stacktrace.rstrip().endswith(b"the end")


def test_half_of_a_surrogate_pair_in_an_error_is_replaced() -> None:
    made = own(letter(kafka_record(b"v"), failed("half \ud800")))
    assert b"half ?" in made[headers.CONNECT_STACKTRACE]
    detail = own(letter(kafka_record(b"v"), Rejected("invalid", "half \ud800")))[headers.CONNECT_MESSAGE]
    assert detail == b"half ?"


def test_a_long_message_is_cut() -> None:
    made = own(letter(kafka_record(b"v"), Rejected("invalid", "m" * 10_000)))
    assert len(made[headers.CONNECT_MESSAGE]) == 2048


def size(outgoing: Outgoing) -> int:
    pairs = sum(len(name) + len(value or b"") + 10 for name, value in outgoing.headers)
    return len(outgoing.key or b"") + len(outgoing.value or b"") + pairs


def test_a_letter_that_is_too_large_loses_its_stack_trace_first_and_then_its_message() -> None:
    rejection = failed("x" * 20_000)
    whole = size(letter(kafka_record(b"v" * 1000), rejection))
    names = []
    for limit in (whole + 1000, whole - 1000, whole - 8192 - 60):
        made = own(letter(kafka_record(b"v" * 1000), rejection, max_bytes=limit))
        names.append((headers.CONNECT_STACKTRACE in made, headers.CONNECT_MESSAGE in made))
        assert headers.DEAD_ID in made
    assert names == [(True, True), (False, True), (False, False)]


def test_a_letter_without_its_value_says_the_size_and_where_it_lies() -> None:
    pairs = [("x", b"x" * 5000)]
    omitted = letter(kafka_record(Omitted(5000), b"k", offset=41, headers=pairs), failed("why"))
    refused = letter(kafka_record(b"v" * 5000, b"k", offset=41, headers=pairs), failed("why"), whole=False)
    for made in (omitted, refused):
        assert (made.key, made.value) == (b"k", None)
        assert own(made)[headers.DEAD_VALUE_OMITTED] == b"5000"
        assert [own(made)[name] for name in (headers.CONNECT_TOPIC, headers.CONNECT_OFFSET)] == [TOPIC.encode(), b"41"]
        assert own(made)[headers.CONNECT_MESSAGE] == b"detail"
        assert headers.DEAD_VALUE_OMITTED not in own(letter(replayed(made)))
    assert "x" in own(omitted)
    assert size(refused) < 1000
    assert headers.DEAD_VALUE_OMITTED not in own(letter(kafka_record(None, b"k"), whole=False))
    assert letter(kafka_record(b"v", b"k" * 513), whole=False).key is None


@given(st.integers(0, 20_000), st.integers(0, 3000), st.integers(0, 5000))
def test_a_letter_fits_its_topic_whatever_the_error(value: int, message: int, trace: int) -> None:
    try:
        raise ValueError("t" * trace)
    except ValueError as error:
        rejection = Rejected("refused_by_store", "m" * message, ("cause",), error)
    # A topic of dead letters accepts twice the size of the largest source record, which is at least 1 KiB.
    limit = 2 * max(value, 1024)
    assert size(letter(kafka_record(b"v" * value, b"k"), rejection, max_bytes=limit)) <= limit


@pytest.mark.parametrize(
    ("value", "expected"), [(None, 0), (b"", 0), (b"4", 4), (b"-4", 0), (b"x", 0), (b"9" * 5000, 0), (b"\xff", 0)]
)
def test_an_invalid_number_of_attempts_is_0(value: bytes | None, expected: int) -> None:
    assert attempts(kafka_record(b"v", headers=[(headers.DEAD_ATTEMPTS, value)])) == expected
    assert attempts(kafka_record(b"v")) == 0


def test_a_letter_and_its_replays_carry_the_publication_of_the_change_once() -> None:
    def failed_again(record: Any, published_at: int | None) -> Outgoing:
        return dead_letter(
            "qdrant", "headrace.dead.qdrant", record, REJECTION, now=NOW, max_bytes=LIMIT, published_at=published_at
        )

    first = failed_again(kafka_record(b"v", headers=[(headers.PUBLISHED_AT, b"wrong")]), TIMESTAMP_MS)
    assert [value for name, value in first.headers if name == headers.PUBLISHED_AT] == [str(TIMESTAMP_MS).encode()]
    second = failed_again(replayed(first), TIMESTAMP_MS)
    assert [value for name, value in second.headers if name == headers.PUBLISHED_AT] == [str(TIMESTAMP_MS).encode()]
    assert not is_ours(headers.PUBLISHED_AT), "a replay would drop it"
