"""Any record can be read as a dead letter: of Headrace, Kafka Connect, Spring Kafka, and any bytes."""

import json
import struct
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from harness.kafka_record import TIMESTAMP_MS, kafka_record
from harness.records import product
from hypothesis import given
from hypothesis import strategies as st

from headrace_letters.letter import Letter, read_letter
from headrace_runtime.dead_letters import dead_letter, fingerprint
from headrace_runtime.decoder import Omitted, Position
from headrace_schemas import headers
from headrace_schemas.topics import Topics
from headrace_worker.stage import Rejected

TOPICS = Topics()
DEAD = TOPICS.dead("qdrant")
NOW = datetime(2026, 3, 1, 3, 0, tzinfo=UTC)
REFUSED = Rejected("refused_by_store", "field x contains 'värde'", ("qdrant", "field", "x"))
CONNECT_HEADERS = [
    (headers.CONNECT_TOPIC, b"orders"),
    (headers.CONNECT_PARTITION, b"3"),
    (headers.CONNECT_OFFSET, b"41"),
    (headers.CONNECT_NAME, b"orders-sink"),
    (headers.CONNECT_STAGE, b"VALUE_CONVERTER"),
    (headers.CONNECT_EXCEPTION, b"org.apache.kafka.connect.errors.DataException"),
    (headers.CONNECT_MESSAGE, b"Converting byte[] to Kafka Connect data failed"),
]
SPRING_HEADERS = [
    ("kafka_dlt-original-topic", b"orders"),
    ("kafka_dlt-original-partition", struct.pack(">i", 3)),
    ("kafka_dlt-original-offset", struct.pack(">q", 2**40)),
    ("kafka_dlt-original-timestamp", struct.pack(">q", TIMESTAMP_MS)),
    ("kafka_dlt-original-consumer-group", b"billing"),
    ("kafka_dlt-exception-fqcn", b"org.springframework.kafka.listener.ListenerExecutionFailedException"),
    ("kafka_dlt-exception-cause-fqcn", b"java.lang.IllegalStateException"),
    ("kafka_dlt-exception-message", b"Listener failed; no such customer"),
]


def ours(record: Any, *, worker: str = "qdrant", now: datetime = NOW, **place: Any) -> Any:
    """The dead letter of the record, as a worker publishes it."""
    again = record.topic == TOPICS.replay(worker)
    sent = dead_letter(worker, TOPICS.dead(worker), record, REFUSED, now=now, max_bytes=10**6, replayed=again)
    return kafka_record(sent.value, sent.key or b"", topic=sent.topic, headers=sent.headers, **place)


def test_a_letter_whose_value_is_too_large_to_keep_in_memory_has_the_size_of_its_value() -> None:
    assert read_letter(kafka_record(Omitted(20_000_000), b"a", topic=DEAD), TOPICS).size == 20_000_000


def test_a_letter_of_headrace_has_all_values_of_its_headers() -> None:
    failed = kafka_record(product("p1", 7), partition=2, offset=11)
    letter = read_letter(ours(failed, partition=4, offset=5), TOPICS)
    assert letter == Letter(
        id=f"qdrant:headrace.products:2:11:{TIMESTAMP_MS}",
        origin="headrace",
        worker="qdrant",
        reason="refused_by_store",
        fingerprint=fingerprint("qdrant", REFUSED),
        error="field x contains 'värde'",
        attempts=1,
        first_failed_at=NOW,
        failed_at=NOW,
        key=b"p1",
        at=Position(DEAD, 4, 5),
        failed=Position("headrace.products", 2, 11),
        kind="product",
        entity_id="p1",
        version=7,
        size=len(failed.value),
    )


def test_a_letter_that_failed_again_keeps_its_id_and_its_first_time() -> None:
    first = ours(kafka_record(product("p1", 7)))
    replay = kafka_record(first.value, first.key, topic=TOPICS.replay("qdrant"), offset=99, headers=first.headers)
    letter = read_letter(ours(replay, now=NOW + timedelta(hours=1)), TOPICS)
    assert letter.id == read_letter(first, TOPICS).id
    assert (letter.attempts, letter.first_failed_at, letter.failed_at) == (2, NOW, NOW + timedelta(hours=1))


@pytest.mark.parametrize(("attempts", "status"), [(1, "waiting"), (4, "waiting"), (5, "parked"), (2**31 - 1, "parked")])
def test_a_letter_is_parked_from_its_fifth_attempt_on(attempts: int, status: str) -> None:
    record = kafka_record(
        b"{}", topic=DEAD, headers=[(headers.DEAD_ID, b"x"), (headers.DEAD_ATTEMPTS, b"%d" % attempts)]
    )
    assert read_letter(record, TOPICS).status == status


def test_a_letter_of_kafka_connect_is_read() -> None:
    letter = read_letter(kafka_record(b"\x00\x01", b"k", topic="dlq", offset=8, headers=CONNECT_HEADERS), TOPICS)
    assert (letter.origin, letter.id, letter.worker) == ("connect", "dlq:0:8", "orders-sink")
    assert letter.reason == "DataException"
    assert letter.error == "Converting byte[] to Kafka Connect data failed"
    assert letter.failed == Position("orders", 3, 41)
    assert letter.failed_at == datetime.fromtimestamp(TIMESTAMP_MS / 1000, UTC)


def test_a_letter_of_spring_is_read_with_its_binary_numbers() -> None:
    letter = read_letter(kafka_record(b"x", b"k", topic="orders-dlt", headers=SPRING_HEADERS), TOPICS)
    assert (letter.origin, letter.worker, letter.reason) == ("spring", "billing", "IllegalStateException")
    assert letter.error == "Listener failed; no such customer"
    assert letter.failed == Position("orders", 3, 2**40)


@pytest.mark.parametrize("foreign", [CONNECT_HEADERS, SPRING_HEADERS])
def test_foreign_letters_of_one_cause_share_a_fingerprint_and_of_two_do_not(foreign: list[tuple[str, bytes]]) -> None:
    def print_of(changed: dict[str, bytes]) -> str:
        named = [(name, changed.get(name, value)) for name, value in foreign]
        return read_letter(kafka_record(b"x", topic="dlq", headers=named), TOPICS).fingerprint

    message = next(name for name, _ in foreign if name.endswith(("exception.message", "-message")))
    cause = next(name for name, _ in reversed(foreign) if name.endswith(("class.name", "cause-fqcn")))
    assert print_of({message: b"another value"}) == print_of({})
    assert print_of({cause: b"java.lang.OutOfMemoryError"}) != print_of({})


def test_a_letter_of_another_system_that_fails_here_keeps_its_id() -> None:
    foreign = read_letter(kafka_record(b"{}", b"k", topic="dlq", offset=8, headers=CONNECT_HEADERS), TOPICS)
    named = [*CONNECT_HEADERS, (headers.DEAD_ID, foreign.id.encode()), (headers.DEAD_ATTEMPTS, b"1")]
    replay = kafka_record(b"{}", b"k", topic=TOPICS.replay("qdrant"), headers=named)
    letter = read_letter(ours(replay), TOPICS)
    assert (letter.origin, letter.id, letter.attempts) == ("headrace", "dlq:0:8", 2)
    assert letter.failed == Position("orders", 3, 41)


def test_a_copy_of_a_letter_on_another_systems_topic_is_a_letter_of_its_own() -> None:
    letter = ours(kafka_record(product("p1", 7)))
    copied = kafka_record(letter.value, letter.key, topic="dlq", offset=8, headers=letter.headers)
    assert read_letter(copied, TOPICS).id == "dlq:0:8"


def test_a_record_without_information_is_a_letter_of_its_topic() -> None:
    letter = read_letter(kafka_record(b"\xff\x00", b"\xfe", topic=DEAD, partition=1, offset=2), TOPICS)
    assert (letter.origin, letter.worker, letter.reason, letter.attempts) == ("unknown", "qdrant", "unknown", 1)
    assert (letter.key, letter.size, letter.entity_id) == (b"\xfe", 2, "\ufffd")


def test_a_null_value_differs_from_an_empty_one() -> None:
    assert read_letter(kafka_record(None, b"k", topic=DEAD), TOPICS).size is None
    assert read_letter(kafka_record(b"", b"k", topic=DEAD), TOPICS).size == 0


def test_a_delete_by_null_has_the_version_of_its_header() -> None:
    letter = read_letter(ours(kafka_record(None, b"p1", headers=[(headers.VERSION, b"9")])), TOPICS)
    assert (letter.kind, letter.entity_id, letter.version) == ("product", "p1", 9)


@pytest.mark.parametrize("version", [0, -1, 2**63, True, 1.0, "1", None, [1]])
def test_an_invalid_version_is_none(version: Any) -> None:
    assert read_letter(kafka_record({"product_id": "p1", "version": version}, topic=DEAD), TOPICS).version is None


@pytest.mark.parametrize(
    "header", [headers.CONNECT_MESSAGE, headers.DEAD_REASON, headers.DEAD_FINGERPRINT, headers.CONNECT_NAME]
)
def test_characters_that_postgresql_cannot_store_are_replaced_visibly(header: str) -> None:
    named = [(headers.DEAD_ID, b"id"), (header, b"a\x00b\xff")]
    letter = read_letter(kafka_record({"product_id": "p\x00\ud800"}, b"k\x00", topic="dlq", headers=named), TOPICS)
    texts = (letter.worker, letter.reason, letter.fingerprint, letter.error, letter.entity_id or "")
    assert any("a␀b\ufffd" in text for text in texts)
    assert not any("\x00" in text for text in texts)
    assert letter.key == b"k\x00"


@pytest.mark.parametrize("value", [b"\xff", b"a\x00b", b"x" * 513])
def test_an_id_that_is_invalid_text_is_replaced_by_its_hash(value: bytes) -> None:
    ids = {
        read_letter(kafka_record(b"", topic=DEAD, offset=o, headers=[(headers.DEAD_ID, value)]), TOPICS).id
        for o in (1, 2)
    }
    assert len(ids) == 1
    assert ids.pop().isalnum()


NUMBERS = st.integers(0).map(lambda number: b"%d" % number)
HEADER_NAMES = st.sampled_from(
    [name for name in vars(headers).values() if isinstance(name, str)] + [name for name, _ in SPRING_HEADERS]
)
JSON = st.recursive(st.none() | st.booleans() | st.integers() | st.text(), lambda inner: st.lists(inner), max_leaves=5)
PAYLOADS = st.dictionaries(st.sampled_from(["product_id", "keyword_id", "version"]) | st.text(), JSON).map(json.dumps)


@given(
    value=st.none() | st.binary() | PAYLOADS.map(str.encode),
    key=st.none() | st.binary(),
    named=st.lists(
        st.tuples(HEADER_NAMES | st.text(), st.none() | st.binary() | st.integers(0).map(lambda n: b"%d" % n))
    ),
    timestamp=st.integers(-1, 2**63 - 1),
    topic=st.sampled_from([DEAD, "dlq", TOPICS.dead("")]),
)
def test_any_record_is_a_letter(value: Any, key: Any, named: Any, timestamp: int, topic: str) -> None:
    record = kafka_record(value, key, topic=topic, timestamp=timestamp, headers=named)
    letter = read_letter(record, TOPICS)
    texts = (letter.id, letter.worker, letter.reason, letter.fingerprint, letter.error, letter.entity_id or "")
    for text in texts:
        assert "\x00" not in text.encode().decode()
    assert letter.attempts >= 1
    assert 1 <= (letter.version or 1) < 2**63
    assert all(0 <= number < 2**63 for number in (letter.failed or (0, 0, 0))[1:])
    assert letter.at == ((topic, 0, 0))


@pytest.mark.parametrize("value", [b"[" * 100_000, b'{"version":' + b"9" * 5000 + b"}", b'{"product_id":"\\ud800"}'])
def test_a_payload_that_breaks_parsers_is_a_letter(value: bytes) -> None:
    assert read_letter(kafka_record(value, b"k", topic=DEAD), TOPICS).entity_id == "k"
