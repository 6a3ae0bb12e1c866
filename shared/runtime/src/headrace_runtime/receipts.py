"""The receipts of a batch: one Kafka record for the batch, split by size."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from pydantic_core import to_json

from headrace_runtime.dead_letters import attempts
from headrace_runtime.decoder import Ignored, Undecoded, header
from headrace_runtime.items import Settled, is_replay, kind_of, record_of
from headrace_runtime.publisher import Outgoing
from headrace_schemas import headers
from headrace_schemas.changes import Change
from headrace_schemas.embedded import Embedded
from headrace_schemas.receipts import Receipts

_HEADERS = [headers.schema_pair(Receipts)]

ReceiptFields = dict[str, Any]
"""The fields of a `Receipt`, those without a value left out.

Not the model itself: nothing here comes from outside, and making the model of each record took as long as reading it.
"""


def receipt_records(
    worker: str, topic: str, receipts: Sequence[Mapping[str, Any]], applied_at: datetime, *, max_bytes: int
) -> Iterator[Outgoing]:
    """The records that carry the receipts, each of `max_bytes` at most. They need no key: no reader needs them in
    order.
    """
    if not receipts:
        return
    value = to_json({"worker": worker, "applied_at": applied_at, "receipts": receipts})
    if len(value) <= max_bytes or len(receipts) == 1:
        yield Outgoing(topic, None, value, _HEADERS)
        return
    middle = len(receipts) // 2
    for part in (receipts[:middle], receipts[middle:]):
        yield from receipt_records(worker, topic, part, applied_at, max_bytes=max_bytes)


def receipts_of(results: Iterable[Settled | Undecoded | Ignored]) -> list[ReceiptFields]:
    """One receipt for each record of the batch."""
    return [_receipt(result) for result in results]


def _receipt(result: Settled | Undecoded | Ignored) -> ReceiptFields:
    record = record_of(result)
    fields: ReceiptFields = {
        "topic": record.topic,
        "partition": record.partition,
        "offset": record.offset,
        "outcome": _outcome(result),
        "kind": kind_of(result),
    }
    if isinstance(result, Settled):
        change = result.item.change
        fields["id"] = change.id
        fields["version"] = change.version
        if isinstance(change, Change):
            fields["occurred_at"] = change.occurred_at
        if isinstance(change, Embedded) and change.embedding is not None:
            fields["content_hash"] = change.embedding.content_hash
            fields["model"] = change.embedding.model
    if is_replay(result):
        if answers := header(record, headers.REPLAY_OF):
            fields["replay_of"] = answers.decode(errors="replace")
        fields["attempt"] = attempts(record)
    return fields


def _outcome(result: Settled | Undecoded | Ignored) -> str:
    if isinstance(result, Settled) and result.rejection is None:
        return "superseded" if result.superseded else "applied"
    return "ignored" if isinstance(result, Ignored) else "dead"
