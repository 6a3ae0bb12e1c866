"""What a dead letter says of itself, whoever wrote it: Headrace, Kafka Connect, Spring Kafka, or nobody known."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from headrace_schemas.fields import RecordKind
from headrace_schemas.topics import Topics
from headrace_shared.runtime.items import KafkaRecord, Position

Origin = Literal["headrace", "connect", "spring", "unknown"]


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


def read_letter(record: KafkaRecord, topics: Topics) -> Letter:
    """Reads any record as a dead letter. Never raises: what it does not say is left open or made up from its place."""
    raise NotImplementedError
