"""When the change that a record is, or was made from, was published and occurred.

A record that a worker makes carries both in headers. A source record carries neither: its own timestamp is the time of
its publication, and its value has the time when it occurred. Such headers of a source record count for nothing: it may
be a dead letter that another tool has sent to its topic again.
"""

from datetime import UTC, datetime

from headrace_runtime.decoder import KafkaRecord, header
from headrace_schemas.fields import RecordKind
from headrace_schemas.headers import OCCURRED_AT, PUBLISHED_AT
from headrace_schemas.topics import is_source

MOST_DIGITS = 14
LATEST = 10**MOST_DIGITS
"""Milliseconds since 1970, in the year 5138. A producer may write any number as a record's timestamp."""


def published_at(record: KafkaRecord, kind: RecordKind) -> int | None:
    """The publication of the change, milliseconds since 1970. None if no change is known: a link set or a request may
    be made without one.
    """
    if not is_source(record.topic) and (carried := carried_publication(record)) is not None:
        return carried
    timestamp = record.timestamp
    return timestamp if 0 <= timestamp < LATEST and (kind == "product" or kind == "keyword") else None


def carried_publication(record: KafkaRecord) -> int | None:
    """The publication that the record carries in its header, milliseconds since 1970."""
    for name, value in record.headers:
        if name == PUBLISHED_AT and value is not None and len(value) <= MOST_DIGITS and value.isdigit():
            return int(value)
    return None


def occurred_at(record: KafkaRecord) -> datetime | None:
    """When the change of a link set occurred; None if no change is known."""
    try:
        moment = datetime.fromisoformat((header(record, OCCURRED_AT) or b"").decode())
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
