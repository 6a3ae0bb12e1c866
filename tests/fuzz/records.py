"""Records of every topic that a worker reads, and records of dead-letter topics."""

from typing import Any

from harness.kafka_record import kafka_record
from hypothesis import strategies as st

from fuzz.values import Target, damaged, escaped, json_values, objects, written
from headrace_cli.dead.edit_lines import edited, line_of, parsed
from headrace_cli.dead.letter_objects import letter_object
from headrace_cli.output import json_text
from headrace_console.formats.payload import shown_payload
from headrace_letters.letter import is_record_of, read_letter
from headrace_letters.letter_rows import IndexedLetter
from headrace_runtime.decoder import Decoded, Decoder, Ignored, NewerSchema, Undecoded
from headrace_schemas import headers
from headrace_worker.settings import CommonSettings
from headrace_worker.worker import load_worker, rejecting_names

COMMON = CommonSettings()
TOPICS = COMMON.topics
NOW = "2026-03-01T09:30:00Z"
VALID: dict[str, Any] = {
    "op": "upsert",
    "product_id": "p1",
    "keyword_id": "p1",
    "id": "p1",
    "kind": "product",
    "version": 7,
    "occurred_at": NOW,
    "title": "a title",
    "text": "a text",
    "vector": [0.5] * 384,
    "model": "minilm-l6-v2",
    "keywords": [],
}
NAMES = tuple(sorted(value for name, value in vars(headers).items() if name.isupper() and isinstance(value, str)))


def every_input() -> dict[str, Any]:
    """Each topic that a worker or a listener of one reads, with the model of its records."""
    found: dict[str, Any] = {}
    for name in rejecting_names():
        worker = load_worker(name)
        settings = worker.settings()
        found |= worker.inputs(settings)
        if worker.listener is not None:
            found |= worker.listener.inputs(settings)
    return found


INPUTS = every_input()
REPLAYS = TOPICS.replay("qdrant")
FIELDS = tuple(sorted({name for model in INPUTS.values() for name in model.model_fields}))

bodies = objects(FIELDS, VALID)
values = damaged(bodies.map(written) | bodies.map(escaped) | json_values.map(written) | st.binary(max_size=80))
schemas = st.builds(
    lambda name, major: f"{name}/{major}".encode(errors="surrogatepass"),
    st.sampled_from([model.schema_name for model in INPUTS.values()]) | st.text(max_size=5),
    st.integers(-1, 4) | st.just("9" * 5000),
)
header_values = st.none() | schemas | json_values.map(written) | st.binary(max_size=40)
pairs = st.lists(st.tuples(st.sampled_from(NAMES) | st.text(max_size=10), header_values), max_size=6)
records = st.builds(
    kafka_record,
    st.none() | values,
    st.none() | st.just(b"p1") | st.binary(max_size=20),
    topic=st.sampled_from([*INPUTS, REPLAYS, TOPICS.dead("qdrant")]),
    offset=st.integers(0, 2**63 - 1),
    timestamp=st.integers(-(2**63), 2**63 - 1),
    headers=pairs,
)
on_null = st.sampled_from(["dead-letter", "ignore"])


def _decoded(record: Any, on_null: Any, newer: bool, canary: bool) -> None:
    """A record is a change, a rejection with a reason of the closed list, ignored, or of a newer schema."""
    if record.topic not in INPUTS and record.topic != REPLAYS:
        return
    decoder = Decoder(INPUTS, REPLAYS, on_null=on_null, accept_newer=newer, without_canary=canary)
    try:
        found = decoder.decode(record)
    except NewerSchema:
        assert not newer
        return
    assert isinstance(found, Decoded | Undecoded | Ignored)
    if isinstance(found, Undecoded):
        assert found.rejection.reason in headers.DEAD_REASONS
        "".join((found.rejection.detail, found.rejection.words, *found.rejection.cause)).encode()


def _read_as_letter(record: Any) -> None:
    """Any record is read as a dead letter whose texts PostgreSQL can store, and which is shown and exported."""
    letter = read_letter(record, TOPICS)
    assert is_record_of(record, letter)
    for text in (letter.id, letter.worker, letter.reason, letter.fingerprint, letter.error, letter.entity_id or ""):
        assert "\x00" not in text
        text.encode()
    json_text(letter_object(letter))
    shown_payload(record.value)
    line = line_of(IndexedLetter(letter, "waiting", None, None, ()), record, "needs a version")
    again = parsed(json_text(line).encode())
    assert again is not None
    assert edited(again) is None or isinstance(edited(again), str)


decoding = Target(_decoded, {"record": records, "on_null": on_null, "newer": st.booleans(), "canary": st.booleans()})
letters = Target(_read_as_letter, {"record": records})
