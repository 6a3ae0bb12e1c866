"""The receipts of a batch, in one Kafka record, or in several if it would be too large."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from orjson import OPT_UTC_Z, dumps

from headrace_runtime.answers import Answered, Result
from headrace_runtime.dead_letters import attempts
from headrace_runtime.decoder import header
from headrace_runtime.origin import published_at
from headrace_runtime.publisher import Outgoing
from headrace_runtime.trace_context import NO_SPANS, TraceContext
from headrace_schemas import headers
from headrace_schemas.changes import Change
from headrace_schemas.embedded import Embedded
from headrace_schemas.receipts import Receipts

_HEADERS = [headers.schema_pair(Receipts)]

ReceiptFields = dict[str, Any]
"""The fields of a `Receipt` that have a value.

The model itself is not used: nothing here comes from outside, and a model for each record takes as long as decoding it.
"""


def receipt_records(
    worker: str, topic: str, receipts: Sequence[Mapping[str, Any]], applied_at: datetime, *, max_bytes: int
) -> Iterator[Outgoing]:
    """The Kafka records that carry the receipts, each of at most `max_bytes`. They have no key: no reader needs them in
    order.

    Conflicts have records of their own: a reader of an older release, which does not know this outcome and refuses the
    whole record, misses no other receipt.
    """
    conflicts = [receipt for receipt in receipts if receipt["outcome"] == "conflict"]
    if conflicts:
        others = [receipt for receipt in receipts if receipt["outcome"] != "conflict"]
        yield from _records(worker, topic, conflicts, applied_at, max_bytes)
        yield from _records(worker, topic, others, applied_at, max_bytes)
    else:
        yield from _records(worker, topic, receipts, applied_at, max_bytes)


def _records(
    worker: str, topic: str, receipts: Sequence[Mapping[str, Any]], applied_at: datetime, max_bytes: int
) -> Iterator[Outgoing]:
    if not receipts:
        return
    value = dumps({"worker": worker, "applied_at": applied_at, "receipts": receipts}, option=OPT_UTC_Z)
    if len(value) <= max_bytes or len(receipts) == 1:
        yield Outgoing(topic, None, value, _HEADERS)
        return
    middle = len(receipts) // 2
    for part in (receipts[:middle], receipts[middle:]):
        yield from _records(worker, topic, part, applied_at, max_bytes)


def receipts_of(results: Iterable[Result], spans: Mapping[int, TraceContext] = NO_SPANS) -> list[ReceiptFields]:
    """One receipt for each record of the batch. `spans`: of the sampled records, by id of the record object."""
    times: dict[int, str] = {}
    return [_receipt(result, spans, times) for result in results]


def _receipt(result: Result, spans: Mapping[int, TraceContext], times: dict[int, str]) -> ReceiptFields:
    """`times`: the written form of times, milliseconds since 1970. Many records of a batch have the same."""
    record = result.record
    fields: ReceiptFields = {
        "topic": record.topic,
        "partition": record.partition,
        "offset": record.offset,
        "outcome": result.outcome,
        "kind": result.kind,
    }
    if (published := published_at(record, result.kind)) is not None:
        if published not in times:
            times[published] = datetime.fromtimestamp(published / 1000, UTC).isoformat(timespec="milliseconds")
        fields["published_at"] = times[published]
    if isinstance(result, Answered):
        change = result.change
        fields["id"] = change.id
        fields["version"] = change.version
        if isinstance(change, Change):
            fields["occurred_at"] = change.occurred_at
        if isinstance(change, Embedded) and change.embedding is not None:
            fields["content_hash"] = change.embedding.content_hash
            fields["model"] = change.embedding.model
    if result.replayed:
        if answers := header(record, headers.REPLAY_OF):
            fields["replay_of"] = answers.decode(errors="replace")
        fields["attempt"] = attempts(record)
    if spans and (span := spans.get(id(record))) is not None:
        fields["traceparent"] = span.traceparent.decode()
    return fields
