"""Decodes Kafka records into changes, each record alone, so that a bad record affects no other."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple, Protocol, Self

from pydantic import ValidationError

from headrace_clients.header_names import EscapedName
from headrace_runtime.conversion import converted
from headrace_runtime.inputs import SOURCES, Input
from headrace_runtime.null_deletes import null_delete
from headrace_runtime.validation import invalid
from headrace_schemas import headers
from headrace_schemas.canary import CANARY_ID
from headrace_schemas.changes import Change
from headrace_schemas.fields import MAX_DIGITS, Kind, RecordKind
from headrace_schemas.forget_record import Forget
from headrace_schemas.quick_decoder import QuickDecoder
from headrace_schemas.receipts import ReceiptOutcome
from headrace_worker.stage import Arrival, Record, Rejected

NullPolicy = Literal["dead-letter", "ignore"]
CANARY_KEY = CANARY_ID.encode()
OF_EMBED = b".embedded."
"""In the name of a topic with vectors: those of another model are no input of the worker."""
_, FORGET = headers.schema_pair(Forget)


class KafkaRecord(Protocol):
    """A record as aiokafka returns it, undecoded. `timestamp`: milliseconds since 1970."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes | None]]


class Omitted(bytes):
    """An empty value that stands for one too large to keep in memory; `size`: bytes of the original."""

    size: int

    def __new__(cls, size: int) -> Self:
        omitted = super().__new__(cls)
        omitted.size = size
        return omitted


class Position(NamedTuple):
    """Identifies one Kafka record."""

    topic: str
    partition: int
    offset: int


class Decoded(NamedTuple):
    """A record and its change. `replayed`: an operator sent the record again, to this worker only."""

    record: KafkaRecord
    change: Record
    replayed: bool = False

    @property
    def rejection(self) -> None:
        """It has no answer yet."""

    @property
    def kind(self) -> RecordKind:
        """What the change is about."""
        return self.change.kind


class Undecoded(NamedTuple):
    """A record that cannot be decoded; `kind` is the kind of its topic's records."""

    record: KafkaRecord
    rejection: Rejected
    kind: RecordKind
    replayed: bool = False

    @property
    def outcome(self) -> ReceiptOutcome:
        """The outcome in the receipt of the record."""
        return "dead"


class Ignored(NamedTuple):
    """A null record without a version, a record of the canary where the worker ignores them, or a link set of another
    model.
    """

    record: KafkaRecord
    kind: RecordKind
    replayed: bool = False
    rejection: None = None

    @property
    def outcome(self) -> ReceiptOutcome:
        """The outcome in the receipt of the record."""
        return "ignored"


class NewerSchema(Exception):
    """A record of a newer schema major: the catalogue was deployed before this worker. Its topic is held."""

    def __init__(self, topic: str, words: str) -> None:
        super().__init__(words)
        self.topic = topic


class Decoder:
    """Decodes the records that one worker reads. `inputs`: topic name to the model of the topic's records.

    A record of an older schema major, live or replayed, is converted to the major of its model. The headers of a replay
    count only on `replay_topic`: on a source topic anybody may write them. `max_record_bytes`: largest value of a
    source record, and largest sum of its key and headers; other topics have twice as much. `without_canary`: ignores
    the changes of the canary, because the worker cannot keep them from users. `model`: ignores the link sets of another
    model.
    """

    def __init__(
        self,
        inputs: Mapping[str, type[Any]],
        replay_topic: str,
        *,
        on_null: NullPolicy = "dead-letter",
        accept_newer: bool = False,
        max_record_bytes: int = 2**20,
        without_canary: bool = False,
        model: str | None = None,
    ) -> None:
        self._of_model = model.encode() if model is not None else None
        found = {model: Input.of(model, max_record_bytes) for model in inputs.values()}
        self._inputs = {topic: found[model] for topic, model in inputs.items()}
        self._replay_topic = replay_topic
        self._on_null = on_null
        self._accept_newer = accept_newer
        self._without_canary = without_canary

    def decode(self, record: KafkaRecord) -> Decoded | Undecoded | Ignored:
        """The record's change, or why the record cannot be decoded.

        Raises NewerSchema for a record that a newer worker can decode, unless `accept_newer` is set: then the record is
        rejected. A replay is always rejected, because it must not hold the worker for all other records.
        """
        of = self._inputs.get(record.topic)
        if of is not None and of.quick is not None and (change := self._ordinary(record, of, of.quick)) is not None:
            return Decoded(record, change)
        return self._decode(record)

    def _ordinary(self, record: KafkaRecord, of: Input, quick: QuickDecoder[Change]) -> Change | None:
        """The change of a live record of the newest schema in which nothing is wrong, as nearly all are; None for any
        other. Everything that it looks at is decided by `_decode`, which takes the same steps one by one.
        """
        value, key = record.value, record.key
        if type(value) is not bytes or key is None or (self._without_canary and key == CANARY_KEY):
            return None
        schema: bytes | None = of.unmarked
        beside = len(key)
        for name, content in record.headers:
            if name == headers.SCHEMA:
                schema = content
            elif type(name) is not str:
                return None
            beside += len(name) + len(content or b"")
        if schema != of.schema or beside > of.limit or len(value) > of.may_grow_above:
            return None
        change = quick(value)
        return change if change is not None and change.id.encode() == key else None

    def _decode(self, record: KafkaRecord) -> Decoded | Undecoded | Ignored:
        to_replay = record.topic == self._replay_topic
        of = self._replayed(record) if to_replay else self._inputs[record.topic]
        if of is None and self._of_model and OF_EMBED in (header(record, headers.CONNECT_TOPIC) or b""):
            # The worker of another model reads it as well.
            return Ignored(record, "product", True)
        if of is None:
            rejection = Rejected("unknown_schema", "a replay does not say which topic it came from", ("replay",))
            return Undecoded(record, rejection, "product", True)
        replayed = to_replay or (of.takes_replays and header(record, headers.REPLAY_OF) is not None)
        if self._without_canary and record.key == CANARY_KEY:
            return Ignored(record, of.kind, replayed)
        if of.is_link_set and self._of_model and header(record, headers.MODEL) not in (None, self._of_model):
            return Ignored(record, of.kind, replayed)
        if fault := self._undecodable(record, of, to_replay):
            return Undecoded(record, fault, of.kind, replayed)
        if of.beside:
            name, _, _ = (header(record, headers.SCHEMA) or b"").partition(b"/")
            of = of.beside.get(name, of)
        major = self._major(record, of, replayed)
        if isinstance(major, Rejected):
            if of.is_change and header(record, headers.SCHEMA) == FORGET:
                return _forget(record, of.model.kind, replayed)
            return Undecoded(record, major, of.kind, replayed)
        if record.value is None:
            return self._null(record, of.model, replayed)
        newest = of.newest
        value = record.value if major == newest else converted(record.value, of.model.schema_name, major, newest)
        if isinstance(value, Rejected):
            return Undecoded(record, value, of.kind, replayed)
        # The others use the arrival as their version.
        context = None if of.is_change else Arrival(*position(record), to_replay, record.headers)
        try:
            change = of.model.model_validate_json(value, context=context)
        except ValidationError as error:
            return Undecoded(record, invalid(error), of.kind, replayed)
        if of.is_keyed and record.key != change.id.encode():
            detail = "the record's key is not the id in its value"
            rejection = Rejected("key_mismatch", detail, ("key",), words=detail)
            return Undecoded(record, rejection, of.kind, replayed)
        if len(value) > of.may_grow_above and (fault := of.grown(change)):
            return Undecoded(record, fault, of.kind, replayed)
        return Decoded(record, change, replayed)

    def _replayed(self, record: KafkaRecord) -> Input | None:
        """The input that a replay comes from."""
        original = header(record, headers.CONNECT_TOPIC) or b""
        return self._inputs.get(original.decode(errors="replace"))

    def _undecodable(self, record: KafkaRecord, of: Input, replayed: bool) -> Rejected | None:
        """Why a record is rejected before it is decoded: a header's name is not UTF-8, or it is too large, unpacked.

        The broker compares the compressed size, and stores accept different sizes: with one limit for all workers, a
        record is in every store or in none. A replay has the headers of its letter in addition.
        """
        limit = of.limit
        value = record.value
        size = value.size if isinstance(value, Omitted) else len(value or b"")
        beside = len(record.key or b"")
        for name, content in record.headers:
            if type(name) is EscapedName:
                return Rejected("invalid", f"the name of a header is not UTF-8: {name[:80]}", ("header",))
            beside += len(name) + len(content or b"")
        if size <= limit and beside <= (2 * limit if replayed else limit):
            return None
        what, size = ("value", size) if size > limit else ("key and headers", beside)
        setting = f"{'' if of.model in SOURCES else 'twice '}HEADRACE_KAFKA__MAX_RECORD_BYTES"
        return Rejected("too_large", f"{what}: {size} bytes unpacked are more than {setting}, {limit}", (what,))

    def _major(self, record: KafkaRecord, of: Input, replayed: bool) -> int | Rejected:
        """The record's schema major, from 1 to the model's, or why the record cannot be decoded."""
        value = header(record, headers.SCHEMA)
        if value is None:
            return headers.SCHEMA_MAJOR
        newest, expected = of.newest, of.model.schema_name
        if value == of.schema:
            return newest
        name, _, major = value.decode(errors="replace").partition("/")
        readable = name == expected and major.isascii() and major.isdecimal() and len(major) <= MAX_DIGITS
        if readable and 1 <= int(major) <= newest:
            return int(major)
        if readable and int(major) > newest:
            if not (self._accept_newer or replayed):
                raise NewerSchema(
                    record.topic,
                    f"{'-'.join(map(str, position(record)))} is {name}/{int(major)}, this worker reads "
                    f"{name}/{newest}: deploy the newer worker",
                )
            return Rejected("unknown_schema", f"schema major {int(major)} is newer than this worker", ("newer",))
        return Rejected(
            "unknown_schema", f"the header has {name[:80]!r}, the topic has records of {expected}", ("name",)
        )

    def _null(self, record: KafkaRecord, model: type[Any], replayed: bool) -> Decoded | Undecoded | Ignored:
        version = header(record, headers.VERSION)
        if version is None and self._on_null == "ignore" and issubclass(model, Change):
            return Ignored(record, model.kind, replayed)
        deleted = null_delete(model, record.key, version, record.timestamp)
        if isinstance(deleted, Rejected):
            return Undecoded(record, deleted, model.kind, replayed)
        return Decoded(record, deleted, replayed)


def position(record: KafkaRecord) -> Position:
    """The record's topic, partition and offset."""
    return Position(record.topic, record.partition, record.offset)


def header(record: KafkaRecord, name: str) -> bytes | None:
    """The last header of that name, which is the newest."""
    for key, value in reversed(record.headers):
        if key == name:
            return bytes(value) if value is not None else None
    return None


def _forget(record: KafkaRecord, kind: Kind, replayed: bool) -> Decoded | Undecoded:
    """A record that takes back a version (`headrace_schemas.forget_record`)."""
    try:
        forget = Forget.model_validate_json(record.value or b"")
    except ValidationError as error:
        return Undecoded(record, invalid(error), kind, replayed)
    if forget.kind != kind or record.key != forget.id.encode():
        detail = "the record's key and topic are not the id and the kind in its value"
        return Undecoded(record, Rejected("key_mismatch", detail, ("key",), words=detail), kind, replayed)
    return Decoded(record, forget, replayed)
