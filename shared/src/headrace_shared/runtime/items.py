"""What a record becomes on its way through a batch."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from headrace_schemas.fields import RecordKind
from headrace_shared.stage import Record, Rejected


class KafkaRecord(Protocol):
    """A record as aiokafka hands it over, undecoded. `timestamp`: milliseconds since 1970."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes | None]]


class Position(NamedTuple):
    """Names one Kafka record."""

    topic: str
    partition: int
    offset: int


@dataclass(frozen=True, slots=True)
class Item:
    """A record that decoded. `replayed`: an operator sent it again, to this worker alone."""

    record: KafkaRecord
    change: Record
    replayed: bool = False


@dataclass(frozen=True, slots=True)
class Undecoded:
    """A record that can never be a change; `kind` is what its topic holds."""

    record: KafkaRecord
    rejection: Rejected
    kind: RecordKind
    replayed: bool = False


@dataclass(frozen=True, slots=True)
class Ignored:
    """A record that asks for nothing: a bare tombstone where the settings say to expect them."""

    record: KafkaRecord
    kind: RecordKind
    replayed: bool = False


@dataclass(frozen=True, slots=True)
class Settled:
    """What became of an item. `rejection` says why it is a dead letter; with neither, it was applied."""

    item: Item
    superseded: bool = False
    rejection: Rejected | None = None


def position(record: KafkaRecord) -> Position:
    """The record's topic, partition and offset."""
    return Position(record.topic, record.partition, record.offset)


def header(record: KafkaRecord, name: str) -> bytes | None:
    """The last header of that name, which is the newest."""
    for key, value in reversed(record.headers):
        if key == name:
            return bytes(value) if value is not None else None
    return None
