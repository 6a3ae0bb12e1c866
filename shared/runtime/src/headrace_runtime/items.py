"""What a record becomes on its way through a batch."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from headrace_schemas.fields import RecordKind
from headrace_worker.stage import Record, Rejected


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


class Item(NamedTuple):
    """A record that decoded. `replayed`: an operator sent it again, to this worker alone."""

    record: KafkaRecord
    change: Record
    replayed: bool = False


class Undecoded(NamedTuple):
    """A record that can never be a change; `kind` is what its topic holds."""

    record: KafkaRecord
    rejection: Rejected
    kind: RecordKind
    replayed: bool = False


class Ignored(NamedTuple):
    """A record that asks for nothing: a bare tombstone where the settings say to expect them."""

    record: KafkaRecord
    kind: RecordKind
    replayed: bool = False


class Settled(NamedTuple):
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


def rejection_of(result: Settled | Undecoded | Ignored) -> Rejected | None:
    """Why the record is a dead letter, if it is one."""
    return None if isinstance(result, Ignored) else result.rejection


def record_of(result: Settled | Undecoded | Ignored) -> KafkaRecord:
    """The record that the result is about."""
    return result.item.record if isinstance(result, Settled) else result.record


def kind_of(result: Settled | Undecoded | Ignored) -> RecordKind:
    """What the record is about, or what its topic holds."""
    return result.item.change.kind if isinstance(result, Settled) else result.kind


def is_replay(result: Settled | Undecoded | Ignored) -> bool:
    """Whether an operator sent the record again."""
    return result.item.replayed if isinstance(result, Settled) else result.replayed
