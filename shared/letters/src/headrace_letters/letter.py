"""A dead letter, read from a record of Headrace, Kafka Connect, Spring Kafka or an unknown system."""

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

from headrace_letters.failure_report import Origin, failure_report, headers_of
from headrace_letters.storable_text import storable
from headrace_letters.subject import subject
from headrace_runtime.decoder import KafkaRecord, Omitted, Position, position
from headrace_schemas.fields import RecordKind
from headrace_schemas.topics import Topics

PARK_AFTER = 5
"""Failed attempts after which a letter is parked: a replay takes it only if it names that status."""
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
LAST_MS = 253_370_764_800_000
"""The year 9999, in milliseconds since 1970. PostgreSQL can store later times, Python cannot."""
UNREADABLE = "unreadable"
MAX_ID_BYTES = 512
MAX_ERROR = 2048
MAX_NAME = 255


@dataclass(frozen=True, slots=True)
class Letter:
    """A dead letter without its payload, which stays in the topic at position `at`.

    `id`: the same for repeated failures; the position, if another system wrote the letter. `worker`: the worker that
    failed, or a connector's name or a consumer group. `failed`: the position of the original record. `kind`,
    `entity_id`, `version`: None if they cannot be read. `size`: bytes of the value; None for a null value.
    `before_store`: the record itself is wrong, so that every worker that reads it rejects it. PostgreSQL can store all
    texts. They must be escaped before they are shown.
    """

    id: str
    origin: Origin
    worker: str
    reason: str
    fingerprint: str
    error: str
    attempts: int
    first_failed_at: datetime
    failed_at: datetime
    key: bytes | None
    at: Position
    failed: Position | None
    kind: RecordKind | None
    entity_id: str | None
    version: int | None
    size: int | None
    before_store: bool = False

    @property
    def status(self) -> Literal["waiting", "parked"]:
        """The status if nothing else is known about the letter."""
        return "parked" if self.attempts >= PARK_AFTER else "waiting"


def read_letter(record: KafkaRecord, topics: Topics) -> Letter:
    """Reads any record as a dead letter. Never raises: a missing value is None or comes from the record's position.

    Letters of Kafka Connect have the timestamp of the failed record; the time of the failure is unknown.
    """
    found = headers_of(record)
    at = position(record)
    dead_prefix = topics.dead("")
    of_worker = at.topic.startswith(dead_prefix)
    report = failure_report(found)
    worker = at.topic.removeprefix(dead_prefix) if of_worker else report.worker
    failed_at = report.failed_at or arrived(record.timestamp)
    about = subject(record, found, report.failed.topic if report.failed else None, topics)
    reason = storable(report.reason, MAX_NAME) or "unknown"
    return Letter(
        # On a topic of another system the id is that of a letter whose headers were copied.
        id=letter_id(report.id) if report.id and of_worker else _position_id(at),
        origin=report.origin,
        worker=storable(worker, MAX_NAME),
        reason=reason,
        fingerprint=storable(report.fingerprint or "", MAX_NAME) or _fingerprint(worker, reason, *report.cause),
        error=storable(report.error, MAX_ERROR),
        attempts=report.attempts,
        first_failed_at=report.first_failed_at or failed_at,
        failed_at=failed_at,
        key=record.key,
        at=at,
        failed=report.failed,
        kind=about.kind,
        entity_id=about.id,
        version=about.version,
        size=_size(record.value),
        before_store=report.before_store,
    )


def is_record_of(record: KafkaRecord, letter: Letter) -> bool:
    """Whether this record, at the letter's position, is the letter's own.

    A topic that was deleted and created again has other records there. A letter whose id is its position is compared
    by its key and size.
    """
    if letter.id == _position_id(letter.at):
        same_key = letter.reason == UNREADABLE or letter.key == record.key
        return same_key and letter.size == _size(record.value)
    written = failure_report(headers_of(record)).id
    return written is not None and letter_id(written) == letter.id


def unreadable(letter: Letter) -> Letter:
    """The letter with only its position and times, for a letter that PostgreSQL refuses."""
    at = letter.at
    return Letter(
        id=_position_id(at),
        origin="unknown",
        worker=letter.worker,
        reason=UNREADABLE,
        fingerprint=_fingerprint(letter.worker, UNREADABLE),
        error="PostgreSQL cannot store this letter; the topic has its bytes",
        attempts=letter.attempts,
        first_failed_at=letter.first_failed_at,
        failed_at=letter.failed_at,
        key=None,
        at=at,
        failed=None,
        kind=None,
        entity_id=None,
        version=None,
        size=letter.size,
    )


def letter_id(value: bytes) -> str:
    """The id in a header, or its hash if it is too long or is not valid text."""
    try:
        text = value.decode()
    except UnicodeDecodeError:
        text = ""
    return text if text and "\x00" not in text and len(value) <= MAX_ID_BYTES else hashlib.sha256(value).hexdigest()


def _position_id(at: Position) -> str:
    return f"{at.topic}:{at.partition}:{at.offset}"


def _size(value: bytes | None) -> int | None:
    if isinstance(value, Omitted):
        return value.size
    return None if value is None else len(value)


def _fingerprint(*cause: str) -> str:
    return hashlib.sha256("\x1f".join(cause).encode(errors="replace")).hexdigest()[:16]


def arrived(timestamp: int) -> datetime:
    """The time of a record, milliseconds since 1970; 1970 for one that has none, or none that can be written."""
    return EPOCH + timedelta(milliseconds=timestamp) if 0 <= timestamp < LAST_MS else EPOCH
