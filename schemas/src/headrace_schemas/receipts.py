"""What a worker reports once a batch is settled: one record for a batch, split by size."""

from typing import ClassVar, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict

from headrace_schemas.fields import RecordKind
from headrace_schemas.headers import SCHEMA_MAJOR

ReceiptOutcome = Literal["applied", "superseded", "dead", "ignored"]


class Receipt(BaseModel):
    """What became of one Kafka record, named by its topic, partition and offset.

    Accounting counts distinct records by that name, so a redelivery changes nothing. `kind`, `id` and `version` are
    missing where the record could not be read. A request has no version of its own: in its place stands its offset + 1.
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
    content_hash: str | None = None
    model: str | None = None
    replay_of: str | None = None
    attempt: int | None = None


class Receipts(BaseModel):
    """The receipts of one batch of one worker. `applied_at`: when the store had acknowledged it."""

    model_config = ConfigDict(extra="ignore", frozen=True)
    schema_name: ClassVar[str] = "receipts"
    schema_major: ClassVar[int] = SCHEMA_MAJOR

    worker: str
    applied_at: AwareDatetime
    receipts: list[Receipt]
