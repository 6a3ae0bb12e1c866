"""Records on which workers and commands report, and lines of edited dead letters."""

from typing import Any

from aiokafka import TopicPartition
from harness.kafka_record import kafka_record
from hypothesis import strategies as st
from pydantic_core import to_json

from fuzz.records import NOW, TOPICS, pairs
from fuzz.values import Target, damaged, escaped, json_values, objects, written
from headrace_cli.dead.edit_lines import edited, parsed
from headrace_cli.outcome_reader import put_record
from headrace_cli.record_outcomes import Part, RecordOutcomes
from headrace_letters.newest_published import forget_in, published_version
from headrace_letters.replay_answers import answers_in
from headrace_schemas.forget_record import Forget
from headrace_schemas.headers import SCHEMA, schema_pair

SOURCE = TOPICS.source("product")
RECEIPT: dict[str, Any] = {
    "topic": SOURCE,
    "partition": 0,
    "offset": 3,
    "outcome": "applied",
    "kind": "product",
    "id": "p1",
    "version": 7,
    "replay_of": f"qdrant:{SOURCE}:0:3:1",
    "attempt": 1,
}
BATCH: dict[str, Any] = {"worker": "qdrant", "applied_at": NOW, "receipts": []}
FORGET: dict[str, Any] = {"kind": "product", "id": "p1", "version": 7, "actor": "on-call", "reason": "wrong"}

receipts = st.lists(objects(tuple(RECEIPT), RECEIPT) | json_values, max_size=3)
batches = st.builds(
    lambda batch, inner, whole: batch | {"receipts": inner} if whole else batch,
    objects(tuple(BATCH), BATCH),
    receipts,
    st.booleans(),
)
values = damaged(
    (batches | objects(tuple(FORGET), FORGET)).flatmap(lambda value: st.sampled_from([written(value), escaped(value)]))
    | json_values.map(written)
)
records = st.builds(
    kafka_record,
    st.none() | values,
    st.none() | st.just(b"p1"),
    topic=st.sampled_from([TOPICS.receipts, SOURCE]),
    offset=st.integers(0, 2**63 - 1),
    timestamp=st.integers(-(2**63), 2**63 - 1) | st.just(-1),
    headers=pairs | st.just([(SCHEMA, schema_pair(Forget)[1])]),
)


LINE: dict[str, Any] = {
    "dead_id": f"qdrant:{SOURCE}:0:3",
    "unedited": "0" * 16,
    "new_version": None,
    "value": {"op": "upsert", "product_id": "p1", "version": 7, "title": "a title"},
    "value_text": "{}",
}
pair = st.sampled_from([("[", "]"), ('{"a":', "}")])
deep = st.builds(lambda depth, brackets: brackets[0] * depth + brackets[1] * depth, st.integers(1, 5000), pair)
lines = damaged(objects(tuple(LINE), LINE).flatmap(lambda value: st.sampled_from([written(value), escaped(value)])))
whole = lines | st.builds(lambda text: b'{"unedited": "", "value": {"a": %b}}' % text.encode(), deep)


def _edited(line: bytes) -> None:
    """A line is a JSON object or not; its value is a change, or a reason why there is none."""
    if (read := parsed(line)) is None:
        return
    value = edited(read)
    if isinstance(value, dict):
        to_json(value)
    else:
        assert value is None or value


def _read(record: Any) -> None:
    """A record that says nothing is ignored, and what is said of a record is an outcome."""
    part = Part("qdrant", TopicPartition(SOURCE, 0))
    outcomes = RecordOutcomes({part: 0})
    outcomes.pin("qdrant", {part.partition: 5})
    put_record(outcomes, record, TOPICS)
    for counts in outcomes.counts():
        assert counts.records <= 5
    answers_in(record.value)
    forget_in(record)
    published_version(record, 1)


reporting = Target(_read, {"record": records})
editing = Target(_edited, {"line": whole})
