"""What a record becomes on its way through a batch."""

from typing import NamedTuple

from headrace_runtime.decoder import Decoded, Ignored, KafkaRecord, Undecoded
from headrace_schemas.fields import RecordKind
from headrace_worker.stage import Rejected


class Settled(NamedTuple):
    """What became of an item. `rejection` says why it is a dead letter; with neither, it was applied."""

    item: Decoded
    superseded: bool = False
    rejection: Rejected | None = None


def rejection_of(result: Settled | Undecoded | Ignored) -> Rejected | None:
    """Why the record is a dead letter, if it is one."""
    return None if isinstance(result, Ignored) else result.rejection


def record_of(result: Settled | Undecoded | Ignored) -> KafkaRecord:
    """The record that the result is about."""
    return result.item.record if isinstance(result, Settled) else result.record


def kind_of(result: Settled | Undecoded | Ignored) -> RecordKind:
    """What the record is about, or what its topic holds."""
    return result.item.change.kind if isinstance(result, Settled) else result.kind


def is_replay(result: Settled | Undecoded | Ignored) -> bool:
    """Whether an operator sent the record again."""
    return result.item.replayed if isinstance(result, Settled) else result.replayed
