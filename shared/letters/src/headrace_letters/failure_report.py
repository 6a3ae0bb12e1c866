"""The failure of a dead letter, from its headers: those of Headrace, Kafka Connect (KIP-298) or Spring Kafka.

Spring: https://docs.spring.io/spring-kafka/reference/kafka/annotation-error-handling.html#dlpr-headers. Their
numbers are binary, big-endian.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Literal, NamedTuple

from headrace_runtime.dead_letters import DECODING_STAGE
from headrace_runtime.decoder import KafkaRecord, Position
from headrace_schemas import headers

Origin = Literal["headrace", "connect", "spring", "unknown"]
MAX_INT, MAX_BIGINT = 2**31 - 1, 2**63 - 1
MAX_DIGITS = len(str(MAX_BIGINT))
MAX_TOPIC = 249
"""Characters; Kafka allows no longer name."""

SPRING = "kafka_dlt-"
SPRING_TOPIC = SPRING + "original-topic"
SPRING_PARTITION = SPRING + "original-partition"
SPRING_OFFSET = SPRING + "original-offset"
SPRING_GROUP = SPRING + "original-consumer-group"
SPRING_EXCEPTION = (SPRING + "exception-cause-fqcn", SPRING + "exception-fqcn", SPRING + "key-exception-fqcn")
"""The cause first, because the exception is mostly a wrapper of the listener."""
SPRING_MESSAGE = (SPRING + "exception-message", SPRING + "key-exception-message")

Headers = Mapping[str, bytes]


def headers_of(record: KafkaRecord) -> Headers:
    """The last value of each header; a header without a value is missing."""
    return {name: value for name, value in record.headers if value is not None}


class FailureReport(NamedTuple):
    """The values of the headers, as unchecked text. `cause`: parts of the fingerprint, if the headers have none.
    `before_store`: Headrace rejected the record itself."""

    origin: Origin
    worker: str = ""
    id: bytes | None = None
    reason: str = ""
    fingerprint: str | None = None
    cause: tuple[str, ...] = ()
    error: bytes | None = None
    attempts: int = 1
    first_failed_at: datetime | None = None
    failed_at: datetime | None = None
    failed: Position | None = None
    before_store: bool = False


def failure_report(found: Headers) -> FailureReport:
    """Reads the headers of any record. Never raises."""
    if headers.DEAD_ID in found:
        return _headrace(found)
    if headers.CONNECT_TOPIC in found or headers.CONNECT_EXCEPTION in found:
        return _connect(found)
    if any(name.startswith(SPRING) for name in found):
        return _spring(found)
    return FailureReport("unknown", error=b"unknown failure: the record has no headers of a dead letter")


def _headrace(found: Headers) -> FailureReport:
    fingerprint = found.get(headers.DEAD_FINGERPRINT)
    return FailureReport(
        "headrace",
        worker=_text(found, headers.CONNECT_NAME),
        id=found[headers.DEAD_ID],
        reason=_text(found, headers.DEAD_REASON),
        fingerprint=fingerprint.decode(errors="replace") if fingerprint else None,
        error=found.get(headers.CONNECT_MESSAGE) or found.get(headers.CONNECT_EXCEPTION),
        attempts=max(1, _decimal(found.get(headers.DEAD_ATTEMPTS), MAX_INT) or 1),
        first_failed_at=_time(found.get(headers.DEAD_FIRST_FAILED_AT)),
        failed_at=_time(found.get(headers.DEAD_FAILED_AT)),
        failed=_connect_position(found),
        before_store=found.get(headers.CONNECT_STAGE) == DECODING_STAGE,
    )


def _connect(found: Headers) -> FailureReport:
    exception, stage = _text(found, headers.CONNECT_EXCEPTION), _text(found, headers.CONNECT_STAGE)
    return FailureReport(
        "connect",
        worker=_text(found, headers.CONNECT_NAME),
        reason=_simple_name(exception),
        cause=(stage, exception),
        error=found.get(headers.CONNECT_MESSAGE) or found.get(headers.CONNECT_EXCEPTION),
        failed=_connect_position(found),
    )


def _spring(found: Headers) -> FailureReport:
    exception = next((_text(found, name) for name in SPRING_EXCEPTION if name in found), "")
    return FailureReport(
        "spring",
        worker=_text(found, SPRING_GROUP),
        reason=_simple_name(exception),
        cause=(_text(found, SPRING_TOPIC), exception),
        error=next((found[name] for name in SPRING_MESSAGE if name in found), exception.encode()),
        failed=_position(
            found.get(SPRING_TOPIC), _binary(found.get(SPRING_PARTITION), 4), _binary(found.get(SPRING_OFFSET), 8)
        ),
    )


def _connect_position(found: Headers) -> Position | None:
    return _position(
        found.get(headers.CONNECT_TOPIC),
        _decimal(found.get(headers.CONNECT_PARTITION), MAX_INT),
        _decimal(found.get(headers.CONNECT_OFFSET), MAX_BIGINT),
    )


def _position(topic: bytes | None, partition: int | None, offset: int | None) -> Position | None:
    if not topic or partition is None or offset is None or len(topic) > MAX_TOPIC or not topic.isascii():
        return None
    return Position(topic.decode(), partition, offset) if b"\x00" not in topic else None


def _text(found: Headers, name: str) -> str:
    return found.get(name, b"").decode(errors="replace")


def _simple_name(java_class: str) -> str:
    return java_class.rpartition(".")[2]


def _decimal(value: bytes | None, most: int) -> int | None:
    if value is None or len(value) > MAX_DIGITS or not value.isdigit():
        return None
    number = int(value)
    return number if number <= most else None


def _binary(value: bytes | None, size: int) -> int | None:
    if value is None or len(value) != size:
        return None
    number = int.from_bytes(value, "big", signed=True)
    return number if number >= 0 else None


def _time(value: bytes | None) -> datetime | None:
    if value is None or len(value) > 64:
        return None
    try:
        time = datetime.fromisoformat(value.decode("ascii"))
        if time.tzinfo is UTC:
            return time
        return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
    except (ValueError, OverflowError):
        return None
