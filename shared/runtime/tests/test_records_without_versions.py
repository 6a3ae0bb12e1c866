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


def test_a_record_is_told_where_it_was_read() -> None:
    change = decoded(kafka_record(b'{"id": "a"}', b"a", partition=3, offset=7))
    assert change.arrival == Arrival(TOPIC, 3, 7, replayed=False)


def test_a_replayed_record_is_told_so() -> None:
    original = [(headers.CONNECT_TOPIC, TOPIC.encode())]
    change = decoded(kafka_record(b'{"id": "a"}', b"a", topic=REPLAY_TOPIC, headers=original))
    assert change.arrival.replayed


def test_of_records_whose_place_is_their_version_the_last_stands_for_all() -> None:
    records = [kafka_record(b'{"id": "a"}', b"a", offset=offset) for offset in (4, 9, 6)]
    items = [Decoder({TOPIC: Request}, REPLAY_TOPIC).decode(record) for record in records]
    (candidates,) = newest_first([item for item in items if isinstance(item, Decoded)])
    assert [item.record.offset for item in candidates] == [9, 6, 4]


def test_two_records_of_one_topic_are_told_apart_by_their_header() -> None:
    marked = [(headers.SCHEMA, headers.schema_header("marker"))]
    assert isinstance(decoded(kafka_record(b"{}", b"all", headers=marked)), Marker)
    assert isinstance(decoded(kafka_record(b'{"id": "a"}', b"a")), Request)


def test_a_newer_major_of_either_holds_the_worker() -> None:
    for name in ("marker", "placed"):
        with pytest.raises(NewerSchema):
            decoded(kafka_record(b"{}", b"all", headers=[(headers.SCHEMA, f"{name}/2".encode())]))


def test_a_record_that_has_no_key_needs_none_and_another_does() -> None:
    assert isinstance(decoded(kafka_record(b"{}", None), Report), Report)
    refused = Decoder({TOPIC: Request}, REPLAY_TOPIC).decode(kafka_record(b'{"id": "a"}', None))
    assert isinstance(refused, Undecoded)
    assert refused.rejection.reason == "key_mismatch"
