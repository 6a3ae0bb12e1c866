"""Dead letters: the record byte for byte, with headers about the failure, its time and the number of attempts."""

import hashlib
import traceback
from collections.abc import Iterable
from datetime import UTC, datetime

from headrace_runtime.decoder import KafkaRecord, Omitted, header, position
from headrace_runtime.publisher import Outgoing
from headrace_schemas import headers
from headrace_schemas.fields import MAX_DIGITS, MAX_ID_BYTES
from headrace_schemas.headers import DeadReason
from headrace_worker.stage import Rejected

MAX_STACKTRACE_BYTES = 8192
MAX_MESSAGE_BYTES = 2048

_REPLACED = (headers.DEAD_ID, headers.DEAD_REASON, headers.DEAD_FINGERPRINT, headers.DEAD_ATTEMPTS,
             headers.DEAD_FIRST_FAILED_AT, headers.DEAD_FAILED_AT, headers.DEAD_VALUE_OMITTED,
             headers.REPLAY_OF)  # fmt: skip


BEFORE_A_STORE: tuple[DeadReason, ...] = (
    "not_json",
    "invalid",
    "key_mismatch",
    "null_without_version",
    "unknown_schema",
)
"""A record that fails for one of these reasons fails in every worker that reads it, before any store sees it."""
OVERSIZED = (("value",), ("key and headers",))
"""The causes of a record that is too large to be decoded. Other causes of `too_large` name a store or an output."""

DECODING_STAGE = b"VALUE_CONVERTER"
"""Kafka Connect's name of the stage in which such a record fails."""


def fingerprint(worker: str, rejection: Rejected) -> str:
    """Identifies the cause and contains no value: 16 hex digits of SHA-256 over worker, reason and structured cause.

    A failure before a store has the same fingerprint in every worker.
    """
    where = () if fails_before_a_store(rejection) else (worker,)
    return hashlib.sha256("\x1f".join((*where, rejection.reason, *rejection.cause)).encode()).hexdigest()[:16]


def fails_before_a_store(rejection: Rejected) -> bool:
    """Whether the record itself is wrong, so that no store has seen it and every other worker rejects it too."""
    if rejection.reason == "too_large":
        return rejection.cause in OVERSIZED
    return rejection.reason in BEFORE_A_STORE


def dead_letter(
    worker: str,
    topic: str,
    record: KafkaRecord,
    rejection: Rejected,
    *,
    now: datetime,
    max_bytes: int,
    replayed: bool = False,
    whole: bool = True,
    published_at: int | None = None,
) -> Outgoing:
    """The dead letter of a record. It replaces older headers of the same names, so that it does not grow when it
    fails again. `replayed`: the record is a replay, which keeps the id and the first failure of its letter and counts
    its attempts. Any other record is a letter of its own, whatever headers it has. `published_at`: when the change was
    published, milliseconds since 1970; a replay of the letter carries it too.

    If it would be larger than `max_bytes`, it has no stack trace, and if that is not enough no message. The value and
    the record's own headers stay, because compressed they mostly fit. If the brokers refuse the letter, the next has
    `whole=False`: only a key that may be an id, and headers with the failure, the value's size and its place.
    """
    own = _own_headers(worker, record, rejection, now, replayed)
    if published_at is not None:
        own[headers.PUBLISHED_AT] = str(published_at).encode()
    # A name that is not UTF-8 is written as its escaped text, so that every reader can read the letter.
    kept = [(str(name), value) for name, value in record.headers if not (is_ours(name) or name in own)]
    value = record.value
    if value is not None and (isinstance(value, Omitted) or not whole):
        own[headers.DEAD_VALUE_OMITTED] = str(value.size if isinstance(value, Omitted) else len(value)).encode()
        value = None
    if not whole:
        kept = []
        own.pop(headers.CONNECT_STACKTRACE, None)
    size = len(record.key or b"") + len(value or b"") + _size(kept)
    for droppable in (headers.CONNECT_STACKTRACE, headers.CONNECT_MESSAGE):
        if size + _size(own.items()) > max_bytes:
            own.pop(droppable, None)
    key = record.key if whole or len(record.key or b"") <= MAX_ID_BYTES else None
    return Outgoing(topic, key, value, [*kept, *own.items()])


def attempts(record: KafkaRecord) -> int:
    """How often the record of a replay has failed before."""
    value = header(record, headers.DEAD_ATTEMPTS) or b"0"
    return int(value) if value.isdigit() and len(value) < 10 else 0


def omitted_size(letter: KafkaRecord) -> int | None:
    """The size of the record's value, bytes, if a dead letter is without it because it was too large; else None."""
    size = header(letter, headers.DEAD_VALUE_OMITTED)
    return int(size) if letter.value is None and size and size.isdigit() and len(size) <= MAX_DIGITS else None


def _own_headers(
    worker: str, record: KafkaRecord, rejection: Rejected, now: datetime, replayed: bool
) -> dict[str, bytes]:
    failed_at = now.astimezone(UTC).isoformat().encode()
    where = position(record)
    first = {
        headers.DEAD_ID: f"{worker}:{where.topic}:{where.partition}:{where.offset}:{record.timestamp}".encode(),
        headers.DEAD_FIRST_FAILED_AT: failed_at,
        headers.CONNECT_TOPIC: where.topic.encode(),
        headers.CONNECT_PARTITION: str(where.partition).encode(),
        headers.CONNECT_OFFSET: str(where.offset).encode(),
    }
    if replayed and header(record, headers.DEAD_ID) is not None:
        # A replay that failed again keeps the identity of the letter of the record that failed first.
        first = {name: header(record, name) or value for name, value in first.items()}
    stacktrace = (
        "".join(traceback.format_exception(rejection.error)).encode(errors="replace") if rejection.error else b""
    )
    return first | {
        headers.DEAD_REASON: rejection.reason.encode(),
        headers.DEAD_FINGERPRINT: fingerprint(worker, rejection).encode(),
        headers.DEAD_ATTEMPTS: str(attempts(record) + 1).encode() if replayed else b"1",
        headers.DEAD_FAILED_AT: failed_at,
        headers.CONNECT_NAME: worker.encode(),
        headers.CONNECT_STAGE: DECODING_STAGE if fails_before_a_store(rejection) else b"TASK_PUT",
        headers.CONNECT_EXCEPTION: "/".join((rejection.reason, *rejection.cause)).encode(),
        headers.CONNECT_MESSAGE: rejection.detail.encode(errors="replace")[:MAX_MESSAGE_BYTES],
        **({headers.CONNECT_STACKTRACE: stacktrace[-MAX_STACKTRACE_BYTES:]} if stacktrace else {}),
    }


def is_ours(name: str) -> bool:
    """Whether a dead letter adds this header, and replaces it when it fails again."""
    return name in _REPLACED or name.startswith(headers.CONNECT)


def _size(pairs: Iterable[tuple[str, bytes | None]]) -> int:
    return sum(len(name.encode()) + len(value or b"") + 10 for name, value in pairs)
