"""Receipts: what a worker publishes about a batch. One record for each batch, or several if it would be too large."""

from typing import ClassVar, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict

from headrace_schemas.fields import RecordKind
from headrace_schemas.headers import SCHEMA_MAJOR

ReceiptOutcome = Literal["applied", "superseded", "conflict", "dead", "ignored"]
"""conflict: the store has other content under the same version, and keeps it."""


class Receipt(BaseModel):
    """What became of one Kafka record, named by its topic, partition and offset.

    Readers count distinct records by that position, so a redelivery changes nothing. A record that cannot be decoded
    has no `id` and no `version`. A request has no version of its own and uses its offset + 1.
    `traceparent`: the span of the worker that settled the record, if its trace is sampled.
    `published_at`: when the catalogue published the change that the record is, or was made from.
    """

    model_config = ConfigDict(extra="ignore", frozen=True)

    topic: str
    partition: int
    offset: int
    outcome: ReceiptOutcome
    kind: RecordKind | None = None
    id: str | None = None
    version: int | None = None
    occurred_at: AwareDatetime | None = None
    published_at: AwareDatetime | None = None
    content_hash: str | None = None
    model: str | None = None
    replay_of: str | None = None
    attempt: int | None = None
    traceparent: str | None = None


class Receipts(BaseModel):
    """The receipts of one batch of one worker. `applied_at`: when the store had acknowledged it."""

    model_config = ConfigDict(extra="ignore", frozen=True)
    schema_name: ClassVar[str] = "receipts"
    schema_major: ClassVar[int] = SCHEMA_MAJOR

    worker: str
    applied_at: AwareDatetime
    receipts: list[Receipt]
