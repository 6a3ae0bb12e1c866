"""What became of a record: the answer of the stage, or why it has none."""

from collections.abc import Mapping
from typing import Literal, NamedTuple

from headrace_runtime.decoder import Ignored, KafkaRecord, Undecoded
from headrace_schemas.fields import RecordKind
from headrace_schemas.receipts import ReceiptOutcome
from headrace_worker.stage import Applied, Conflict, Outcome, Record, Rejected, Superseded

Answer = Literal["applied", "superseded", "conflict"]
ANSWERS: Mapping[type[Outcome], Answer] = {Applied: "applied", Superseded: "superseded", Conflict: "conflict"}


class Answered(NamedTuple):
    """A decoded record and the stage's answer, which a rejection replaces."""

    record: KafkaRecord
    change: Record
    replayed: bool = False
    answer: Answer = "applied"
    rejection: Rejected | None = None

    @property
    def kind(self) -> RecordKind:
        """What the change is about."""
        return self.change.kind

    @property
    def outcome(self) -> ReceiptOutcome:
        """The outcome in the receipt of the record."""
        return "dead" if self.rejection else self.answer


Result = Answered | Undecoded | Ignored
"""What became of one record of a batch."""
