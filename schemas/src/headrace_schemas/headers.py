"""The names of the record headers, which are part of the public interface."""

from typing import ClassVar, Literal, Protocol, get_args

SCHEMA = "headrace-schema"
VERSION = "headrace-version"
PUBLISHED_AT = "headrace-published-at"
"""When the source record was published: decimal milliseconds since 1970, on every record made from it."""
OCCURRED_AT = "headrace-occurred-at"
"""When the change occurred that a relink request or a link set is made for: ISO 8601, UTC."""
MODEL = "headrace-model"
"""The model that a link set was computed with. Sets of two models are on one topic, and no store mixes them."""
REPLAY_OF = "headrace-replay-of"
EDITED_FROM = "headrace-edited-from"
DEAD_ID = "headrace-dead-id"
DEAD_REASON = "headrace-dead-reason"
DEAD_FINGERPRINT = "headrace-dead-fingerprint"
DEAD_ATTEMPTS = "headrace-dead-attempts"
DEAD_FIRST_FAILED_AT = "headrace-dead-first-failed-at"
DEAD_FAILED_AT = "headrace-dead-failed-at"
DEAD_VALUE_OMITTED = "headrace-dead-value-omitted"

CONNECT = "__connect.errors."
"""The prefix of Kafka Connect's error headers (KIP-298), so that existing consoles show our dead letters."""
CONNECT_TOPIC = CONNECT + "topic"
CONNECT_PARTITION = CONNECT + "partition"
CONNECT_OFFSET = CONNECT + "offset"
CONNECT_NAME = CONNECT + "connector.name"
CONNECT_STAGE = CONNECT + "stage"
CONNECT_EXCEPTION = CONNECT + "exception.class.name"
CONNECT_MESSAGE = CONNECT + "exception.message"
CONNECT_STACKTRACE = CONNECT + "exception.stacktrace"

SCHEMA_MAJOR = 1
"""The schema major of a record without the header, and of every model that sets no other (`schema_major`). A record of
a newer major holds the worker; a record of an older major is converted (`upcasts`).
"""

DeadReason = Literal[
    "not_json", "invalid", "key_mismatch", "null_without_version", "unknown_schema", "wrong_model", "wrong_vector",
    "refused_by_store", "too_large", "poison",
]  # fmt: skip
DEAD_REASONS: tuple[DeadReason, ...] = get_args(DeadReason)


def schema_header(name: str, major: int = SCHEMA_MAJOR) -> bytes:
    """The value of the `headrace-schema` header: `<record>/<major>`."""
    return f"{name}/{major}".encode()


class HasSchema(Protocol):
    """A record's model, or a record of it."""

    schema_name: ClassVar[str]
    schema_major: ClassVar[int]


def schema_pair(record: HasSchema | type[HasSchema]) -> tuple[str, bytes]:
    """The whole `headrace-schema` header of a record, name and value."""
    return SCHEMA, schema_header(record.schema_name, record.schema_major)
