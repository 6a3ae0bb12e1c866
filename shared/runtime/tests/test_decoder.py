"""Every record becomes a change, a dead letter with its reason, or is ignored; no bytes make the decoder raise."""

import json
from typing import Any

import pytest
from harness.kafka_record import REPLAY_TOPIC, TIMESTAMP_MS, TOPIC, kafka_record
from harness.records import product
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from headrace_runtime.decoder import Decoded, Decoder, Ignored, NewerSchema, Omitted, Undecoded
from headrace_runtime.validation import invalid
from headrace_schemas import headers
from headrace_schemas.canary import CANARY_ID
from headrace_schemas.changes import KeywordChange, ProductChange
from headrace_schemas.fields import MAX_VERSION
from headrace_schemas.links import ProductLinks

KEYWORDS = "headrace.keywords"
INPUTS = {TOPIC: ProductChange, KEYWORDS: KeywordChange}
decoder = Decoder(INPUTS, REPLAY_TOPIC)
SOURCE = (headers.CONNECT_TOPIC, TOPIC.encode())


def dead(record: Any, decoder: Decoder = decoder) -> tuple[str, tuple[str, ...]]:
    """The reason and cause of a dead letter. Fails if the record decodes."""
    decoded = decoder.decode(record)
    assert isinstance(decoded, Undecoded), decoded
    return decoded.rejection.reason, decoded.rejection.cause


def change(record: Any, decoder: Decoder = decoder) -> Any:
    """The change of a record. Fails if the record does not decode."""
    decoded = decoder.decode(record)
    assert isinstance(decoded, Decoded), decoded
    return decoded.change


def test_a_valid_record_is_the_change_of_its_topics_kind() -> None:
    assert change(kafka_record(product("p1", 7))).version == 7
    keyword = {"op": "upsert", "keyword_id": "k", "version": 1, "occurred_at": "2026-01-01T00:00:00Z", "text": "t"}
    assert change(kafka_record(keyword, topic=KEYWORDS)).kind == "keyword"


@pytest.mark.parametrize("value", [b"", b"{nope", b"\xff\xfe", b'{"title": "\\ud800"}', b"[" * 100_000])
def test_a_value_that_is_not_json_is_a_dead_letter(value: bytes) -> None:
    assert dead(kafka_record(value, b"p1"))[0] == "not_json"


def too_large(value: Any, topic: str = TOPIC, key: bytes | None = b"p1", **more: Any) -> Any:
    """The rejection of a record for its size, where the setting is 1000 bytes; None without one."""
    limited = Decoder(INPUTS | {"links": ProductLinks}, REPLAY_TOPIC, max_record_bytes=1000)
    decoded = limited.decode(kafka_record(value, key, topic=topic, **more))
    rejected = isinstance(decoded, Undecoded) and decoded.rejection.reason == "too_large"
    return decoded.rejection if rejected else None


def test_a_value_above_the_limit_is_rejected_before_it_is_decoded() -> None:
    row = product("p1", 1, title="t")
    longest = row | {"description": "d" * (1000 - len(json.dumps(row | {"description": ""})))}
    assert too_large(longest) is None
    assert change(kafka_record(longest), Decoder(INPUTS, REPLAY_TOPIC, max_record_bytes=1000)).version == 1
    above = too_large(b"{" * 1001)
    assert above is not None
    assert above.cause == ("value",)
    assert "1001 bytes" in above.detail
    assert "HEADRACE_KAFKA__MAX_RECORD_BYTES, 1000" in above.detail
    assert too_large(Omitted(5_000_000)).detail.startswith("value: 5000000 bytes")


def test_a_value_that_grows_beyond_its_topics_when_it_is_written_again_is_rejected_by_every_worker() -> None:
    def value(numbers: int) -> bytes:
        row = json.dumps(product("p1", 1, title="t", attributes={"a": "numbers"}))
        return row.replace('"numbers"', f"[{','.join(['1e15'] * numbers)}]").encode()

    assert too_large(value(80)) is None
    grown = too_large(value(150))
    assert len(value(150)) < 1000
    assert (grown.cause, grown.detail.endswith("are more than 1875")) == (("value",), True)
    assert too_large(value(150), REPLAY_TOPIC, headers=[SOURCE]).cause == ("value",)


def test_records_of_internal_topics_have_twice_the_limit() -> None:
    assert too_large(b"{" * 2000, "links") is None
    assert "twice HEADRACE_KAFKA__MAX_RECORD_BYTES" in too_large(b"{" * 2001, "links").detail


def test_key_and_headers_have_a_limit_of_their_own_which_null_values_have_too() -> None:
    for value in (None, product("p1", 1)):
        assert too_large(value, headers=[("x", b"x" * 900), ("y", None)]) is None
        assert too_large(value, headers=[("x", b"x" * 500), ("x", b"x" * 500)]).cause == ("key and headers",)
    assert too_large(None, key=b"k" * 1001).cause == ("key and headers",)


def test_a_replay_has_the_limit_of_its_topic_and_room_for_the_headers_of_its_letter() -> None:
    assert too_large(b"{" * 1001, REPLAY_TOPIC, headers=[SOURCE]).cause == ("value",)
    more = [SOURCE, ("x", b"x" * 900), (headers.CONNECT_STACKTRACE, b"s" * 900)]
    assert too_large(product("p1", 1), REPLAY_TOPIC, headers=more) is None


@pytest.mark.parametrize(
    ("fields", "cause"),
    [
        ({"version": True}, ("int_type", "version")),
        ({"version": 0}, ("greater_than_equal", "version")),
        ({"title": None}, ("value_error", "")),
        ({"product_id": "x" * 513}, ("value_error", "product_id")),
        ({"attributes": {"size": {"x": 2**63}}}, ("value_error", "attributes")),
    ],
)
def test_the_cause_of_an_invalid_change_is_its_first_error(fields: dict[str, Any], cause: tuple[str, str]) -> None:
    assert dead(kafka_record(product("p1", 1) | fields, b"p1")) == ("invalid", cause)


@pytest.mark.parametrize("key", [b"p2", b"", None, b"P1"])
def test_a_record_whose_key_is_not_its_id_is_a_dead_letter(key: bytes | None) -> None:
    record = kafka_record(json.dumps(product("p1", 1)).encode(), key)
    assert dead(record) == ("key_mismatch", ("key",))


def test_a_null_with_a_version_is_the_delete_of_its_key() -> None:
    gone = change(kafka_record(None, "가".encode(), headers=[(headers.VERSION, b"12")]))
    assert (gone.id, gone.version, gone.deleted) == ("가", 12, True)
    assert gone.occurred_at.timestamp() * 1000 == TIMESTAMP_MS


@pytest.mark.parametrize(
    "version", [b"0", b"-1", b"1.0", b"", b"1x", b"9" * 30, str(MAX_VERSION + 1).encode(), b"0" * 19 + b"1" * 5000]
)
def test_a_null_with_an_invalid_version_is_a_dead_letter(version: bytes) -> None:
    record = kafka_record(None, b"p1", headers=[(headers.VERSION, version)])
    assert dead(record) == ("invalid", ("headrace-version",))


def test_a_null_with_the_highest_version_is_a_delete() -> None:
    record = kafka_record(None, b"p1", headers=[(headers.VERSION, str(MAX_VERSION).encode())])
    assert change(record).version == MAX_VERSION


def test_a_null_without_a_version_is_a_dead_letter_or_ignored_by_setting() -> None:
    record = kafka_record(None, b"p1")
    assert dead(record)[0] == "null_without_version"
    assert decoder.decode(record) != Decoder(INPUTS, REPLAY_TOPIC, on_null="ignore").decode(record)
    assert isinstance(Decoder(INPUTS, REPLAY_TOPIC, on_null="ignore").decode(record), Ignored)


@pytest.mark.parametrize(
    ("key", "cause"),
    [
        (None, ("value_error", "product_id")),
        (b"", ("value_error", "product_id")),
        (b"\xff", ("key",)),
        (b"x" * 513, ("value_error", "product_id")),
    ],
)
def test_a_null_whose_key_is_not_an_id_is_a_dead_letter(key: bytes | None, cause: tuple[str, ...]) -> None:
    assert dead(kafka_record(None, key, headers=[(headers.VERSION, b"1")])) == ("invalid", cause)


@pytest.mark.parametrize("on_null", ["dead-letter", "ignore"])
def test_a_null_deletes_only_products_and_keywords(on_null: Any) -> None:
    links = Decoder({TOPIC: ProductLinks}, REPLAY_TOPIC, on_null=on_null)
    record = kafka_record(None, b"p1", headers=[(headers.VERSION, b"1")])
    assert dead(record, links) == ("invalid", ("value",))


@pytest.mark.parametrize("timestamp", [10**18, -(10**18), 2**63 - 1])
def test_a_null_with_a_timestamp_outside_the_years_1_to_9999_is_a_dead_letter(timestamp: int) -> None:
    record = kafka_record(None, b"p1", timestamp=timestamp, headers=[(headers.VERSION, b"1")])
    assert dead(record) == ("invalid", ("timestamp",))


def test_a_replay_is_decoded_as_a_record_of_its_original_topic() -> None:
    decoded = decoder.decode(kafka_record(product("p1", 1), topic=REPLAY_TOPIC, headers=[SOURCE]))
    assert isinstance(decoded, Decoded)
    assert decoded.replayed
    assert isinstance(decoded.change, ProductChange)
    for claims in ([], [(headers.REPLAY_OF, b"any"), SOURCE]):
        live = decoder.decode(kafka_record(product("p1", 1), headers=claims))
        assert isinstance(live, Decoded)
        assert not live.replayed


@pytest.mark.parametrize("origin", [[], [(headers.CONNECT_TOPIC, b"headrace.other")], [(headers.CONNECT_TOPIC, None)]])
def test_a_replay_from_an_unknown_topic_is_a_dead_letter(origin: list[tuple[str, bytes | None]]) -> None:
    record = kafka_record(product("p1", 1), topic=REPLAY_TOPIC, headers=origin)
    assert dead(record) == ("unknown_schema", ("replay",))


def test_the_last_of_repeated_headers_counts() -> None:
    record = kafka_record(None, b"p1", headers=[(headers.VERSION, b"1"), (headers.VERSION, b"2")])
    assert change(record).version == 2


def schema(value: bytes, topic: str = TOPIC, more: Any = ()) -> Any:
    return kafka_record(product("p1", 1), topic=topic, headers=[(headers.SCHEMA, value), *more])


def test_the_workers_own_schema_is_read() -> None:
    assert change(schema(b"product-change/1")).id == "p1"


@pytest.mark.parametrize("value", [b"product-change/2", b"product-change/17"])
def test_a_newer_schema_holds_the_worker_unless_newer_records_are_accepted(value: bytes) -> None:
    with pytest.raises(NewerSchema, match="deploy the newer worker"):
        decoder.decode(schema(value))
    accepting = Decoder(INPUTS, REPLAY_TOPIC, accept_newer=True)
    assert dead(schema(value), accepting) == ("unknown_schema", ("newer",))


def test_a_replay_of_a_newer_schema_does_not_hold_the_worker() -> None:
    assert dead(schema(b"product-change/2", REPLAY_TOPIC, [SOURCE])) == ("unknown_schema", ("newer",))


@pytest.mark.parametrize(
    "value",
    [b"product-change/0", b"keyword-change/1", b"keyword-change/2", b"product-change", b"product-change/x", b"",
     b"\xff", b"product-change/" + b"9" * 5000, "product-change/١".encode()],
)  # fmt: skip
def test_an_older_or_foreign_schema_is_a_dead_letter(value: bytes) -> None:
    assert dead(schema(value)) == ("unknown_schema", ("name",))


NAMES = st.sampled_from([headers.SCHEMA, headers.VERSION, headers.CONNECT_TOPIC, headers.REPLAY_OF, "x"])
HEADER_VALUES = (
    st.none()
    | st.binary(max_size=30)
    | st.sampled_from([b"product-change/1", b"product-change/0", TOPIC.encode(), b"1"])
    | st.builds(lambda digit, count: digit * count, st.sampled_from([b"0", b"1", b"9"]), st.integers(0, 6000))
)
LEAVES = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
ODD_FIELDS = st.dictionaries(st.sampled_from(["version", "price", "attributes", "occurred_at", "title"]), LEAVES)
VALUES = (
    st.none()
    | st.binary(max_size=500)
    | ODD_FIELDS.map(lambda fields: json.dumps(product("p1", 1) | fields).encode())
)  # fmt: skip


@given(
    value=VALUES,
    key=st.none() | st.binary(max_size=600) | st.just(b"p1"),
    topic=st.sampled_from([TOPIC, KEYWORDS, REPLAY_TOPIC]),
    timestamp=st.integers(-(2**63), 2**63 - 1),
    pairs=st.lists(st.tuples(NAMES, HEADER_VALUES), max_size=4),
    on_null=st.sampled_from(["dead-letter", "ignore"]),
)
@settings(max_examples=500, deadline=None)
def test_the_decoder_returns_a_result_for_any_bytes(
    value: bytes | None,
    key: bytes | None,
    topic: str,
    timestamp: int,
    pairs: list[tuple[str, bytes | None]],
    on_null: Any,
) -> None:
    record = kafka_record(value, key, topic=topic, timestamp=timestamp, headers=pairs)
    decoded = Decoder(INPUTS, REPLAY_TOPIC, on_null=on_null, accept_newer=True).decode(record)
    assert isinstance(decoded, Decoded | Undecoded | Ignored)
    if isinstance(decoded, Decoded):
        assert decoded.change.id.encode() == key
        assert 1 <= decoded.change.version <= MAX_VERSION
    if isinstance(decoded, Undecoded):
        assert decoded.rejection.reason in headers.DEAD_REASONS


@given(st.binary(min_size=500, max_size=500))
def test_500_random_bytes_are_a_dead_letter(value: bytes) -> None:
    assert dead(kafka_record(value, b"p1"))[0] in ("not_json", "invalid")


def test_a_worker_that_does_not_take_the_canary_ignores_it_whatever_it_contains() -> None:
    unaware = Decoder(INPUTS, REPLAY_TOPIC, without_canary=True)
    canary = kafka_record(product(CANARY_ID, 7))
    deleted = kafka_record(None, CANARY_ID.encode(), headers=[(headers.VERSION, b"8")])
    damaged = kafka_record(b"{nope", CANARY_ID.encode())
    assert [unaware.decode(record) for record in (canary, deleted, damaged)] == [
        Ignored(record, "product") for record in (canary, deleted, damaged)
    ]
    assert change(kafka_record(product("p1", 7)), unaware).version == change(canary).version == 7


@pytest.mark.parametrize(("model", "ignored"), [(b"minilm", False), (b"other", True), (None, False)])
def test_a_link_set_of_another_model_is_ignored(model: bytes | None, ignored: bool) -> None:
    links = ProductLinks(product_id="a", version=1, title="A")
    named = [] if model is None else [(headers.MODEL, model)]
    record = kafka_record(links.model_dump_json().encode(), b"a", topic="links", headers=named)
    found = Decoder({"links": ProductLinks}, REPLAY_TOPIC, model="minilm").decode(record)
    assert isinstance(found, Ignored if ignored else Decoded)


@pytest.mark.parametrize(("model", "outcome"), [("other", "ignored"), ("minilm", "dead")])
def test_a_replay_for_the_worker_of_another_model_is_ignored(model: str, outcome: str) -> None:
    origin = (headers.CONNECT_TOPIC, f"headrace.products.embedded.{model}".encode())
    record = kafka_record(b"{}", b"a", topic=REPLAY_TOPIC, headers=[origin])
    inputs = {"headrace.products.embedded.minilm": ProductChange}
    found = Decoder(inputs, REPLAY_TOPIC, model="minilm").decode(record)
    assert isinstance(found, Ignored | Undecoded)
    assert found.outcome == outcome


LENIENT = (
    "true",
    '"1_000"',
    '"٣"',
    '" 1"',
    "NaN",
    "1e400",
    "9" * 400,
    '"\\ud83d"',
    '"\\u0000"',
    "[]",
    '{"a": 1, "a": 2}',
)


@pytest.mark.parametrize("text", LENIENT)
@pytest.mark.parametrize("field", ["version", "price", "title", "attributes", "occurred_at", "product_id", "unknown"])
def test_a_record_is_accepted_if_its_model_accepts_it_and_else_has_the_models_reason(field: str, text: str) -> None:
    row = json.dumps(product("p1", 1) | {field: "@"}).replace('"@"', text).encode()
    decoded = decoder.decode(kafka_record(row, b"p1"))
    reason, expected = None, None
    try:
        expected = ProductChange.model_validate_json(row)
    except ValidationError as error:
        reason = invalid(error)
    if expected is not None and expected.id == "p1":
        assert isinstance(decoded, Decoded)
        assert decoded.change == expected
    else:
        assert isinstance(decoded, Undecoded)
        assert decoded.rejection == reason or decoded.rejection.reason == "key_mismatch"
