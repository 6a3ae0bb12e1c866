"""What a dead letter says of itself, whoever wrote it: Headrace, Kafka Connect, Spring Kafka, or nobody known."""

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

from headrace_letters.failure_report import Origin, failure_report, headers_of
from headrace_letters.storable_text import storable
from headrace_letters.subject import subject
from headrace_runtime.decoder import KafkaRecord, Position, position
from headrace_schemas.fields import RecordKind
from headrace_schemas.topics import Topics

PARK_AFTER = 5
"""Failed attempts after which a letter is parked: it waits for a decision and no longer for a replay."""
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
LAST_MS = 253_370_764_800_000
"""The year 9999, in milliseconds since 1970: PostgreSQL goes on, Python does not."""
MAX_ID_BYTES = 512
MAX_ERROR = 2048
MAX_NAME = 255


@dataclass(frozen=True, slots=True)
class Letter:
    """A dead letter without its payload: that stays in the topic, at `at`.

    `id`: the same over repeated failures; of a letter that is not ours, the place where it lies. `worker`: who failed;
    a connector's name or a consumer group where the letter is not ours. `failed`: the record that failed first.
    `kind`, `entity_id` and `version` are there where they can be read. `size`: of the value, bytes; None: a null value.
    All text can be stored in PostgreSQL, and none of it is fit to be shown without being escaped.
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

    @property
    def status(self) -> Literal["waiting", "parked"]:
        """What it is as long as nothing else is known of it."""
        return "parked" if self.attempts >= PARK_AFTER else "waiting"


def read_letter(record: KafkaRecord, topics: Topics) -> Letter:
    """Reads any record as a dead letter. Never raises: what it does not say is left open or made up from its place.

    Kafka Connect gives its letters the timestamp of the record that failed, and nothing says when it failed.
    """
    found = headers_of(record)
    report = failure_report(found)
    at = position(record)
    dead_prefix = topics.dead("")
    worker = at.topic.removeprefix(dead_prefix) if at.topic.startswith(dead_prefix) else report.worker
    failed_at = report.failed_at or _arrived(record.timestamp)
    about = subject(record, found, report.failed.topic if report.failed else None, topics)
    reason = storable(report.reason, MAX_NAME) or "unknown"
    return Letter(
        id=letter_id(report.id) if report.id else f"{at.topic}:{at.partition}:{at.offset}",
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
        size=None if record.value is None else len(record.value),
    )


def unreadable(letter: Letter) -> Letter:
    """The letter with nothing but its place and its times: what is left where the store takes no more of it."""
    at = letter.at
    return Letter(
        id=f"{at.topic}:{at.partition}:{at.offset}",
        origin="unknown",
        worker=letter.worker,
        reason="unreadable",
        fingerprint=_fingerprint(letter.worker, "unreadable"),
        error="PostgreSQL takes no more of this letter; its bytes are in its topic",
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
    """The id that a header names; of one that is no reasonable text, its hash."""
    try:
        text = value.decode()
    except UnicodeDecodeError:
        text = ""
    return text if text and "\x00" not in text and len(value) <= MAX_ID_BYTES else hashlib.sha256(value).hexdigest()


def _fingerprint(*cause: str) -> str:
    return hashlib.sha256("\x1f".join(cause).encode(errors="replace")).hexdigest()[:16]


def _arrived(timestamp: int) -> datetime:
    return EPOCH + timedelta(milliseconds=timestamp) if 0 <= timestamp < LAST_MS else EPOCH
