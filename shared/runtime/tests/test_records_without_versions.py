"""Records without a version: their offset is their version, they may have no key, and two kinds may share a topic."""

from typing import Any, ClassVar

import pytest
from harness.kafka_record import REPLAY_TOPIC, TOPIC, kafka_record
from pydantic import BaseModel, PrivateAttr

from headrace_runtime.attempts import newest_first
from headrace_runtime.decoder import Decoded, Decoder, NewerSchema, Undecoded
from headrace_schemas import headers
from headrace_worker.stage import Arrival


class Placed(BaseModel):
    kind: ClassVar[str] = "relink"
    schema_name: ClassVar[str] = "placed"

    _arrival: Arrival = PrivateAttr()

    def model_post_init(self, context: Any) -> None:
        self._arrival = context

    @property
    def arrival(self) -> Arrival:
        return self._arrival

    @property
    def version(self) -> int:
        return self._arrival.offset


class Marker(Placed):
    kind: ClassVar[str] = "sweep"
    schema_name: ClassVar[str] = "marker"
    id: str = "all"


class Request(Placed):
    beside: ClassVar[Any] = (Marker,)
    id: str


class Report(Placed):
    keyed: ClassVar[bool] = False
    id: str = "none of its own"


def decoded(record: Any, model: type[Any] = Request) -> Any:
    found = Decoder({TOPIC: model}, REPLAY_TOPIC).decode(record)
    assert isinstance(found, Decoded)
    return found.change


def test_a_record_gets_its_topic_partition_and_offset() -> None:
    change = decoded(kafka_record(b'{"id": "a"}', b"a", partition=3, offset=7))
    assert change.arrival == Arrival(TOPIC, 3, 7, replayed=False)


def test_a_replayed_record_is_marked_as_replayed() -> None:
    original = [(headers.CONNECT_TOPIC, TOPIC.encode())]
    change = decoded(kafka_record(b'{"id": "a"}', b"a", topic=REPLAY_TOPIC, headers=original))
    assert change.arrival.replayed


def test_the_highest_offset_is_the_newest_of_records_without_a_version() -> None:
    records = [kafka_record(b'{"id": "a"}', b"a", offset=offset) for offset in (4, 9, 6)]
    items = [Decoder({TOPIC: Request}, REPLAY_TOPIC).decode(record) for record in records]
    (candidates,) = newest_first([item for item in items if isinstance(item, Decoded)])
    assert [item.record.offset for item in candidates] == [9, 6, 4]


def test_the_header_distinguishes_two_kinds_of_records_on_one_topic() -> None:
    marked = [(headers.SCHEMA, headers.schema_header("marker"))]
    assert isinstance(decoded(kafka_record(b"{}", b"all", headers=marked)), Marker)
    assert isinstance(decoded(kafka_record(b'{"id": "a"}', b"a")), Request)


def test_a_newer_major_of_either_kind_holds_the_worker() -> None:
    for name in ("marker", "placed"):
        with pytest.raises(NewerSchema):
            decoded(kafka_record(b"{}", b"all", headers=[(headers.SCHEMA, f"{name}/2".encode())]))


def test_only_records_of_a_model_without_keys_may_have_no_key() -> None:
    assert isinstance(decoded(kafka_record(b"{}", None), Report), Report)
    refused = Decoder({TOPIC: Request}, REPLAY_TOPIC).decode(kafka_record(b'{"id": "a"}', None))
    assert isinstance(refused, Undecoded)
    assert refused.rejection.reason == "key_mismatch"
