"""The receipts of a batch: one Kafka record for the batch, split by size."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime

from headrace_schemas import headers
from headrace_schemas.receipts import Receipt, ReceiptOutcome, Receipts
from headrace_shared.runtime.dead_letters import attempts
from headrace_shared.runtime.items import Ignored, KafkaRecord, Settled, Undecoded, header
from headrace_shared.runtime.publish import Outgoing

_HEADERS = [(headers.SCHEMA, headers.schema_header(Receipts.schema_name))]


def receipt_records(
    worker: str, topic: str, receipts: Sequence[Receipt], applied_at: datetime, *, max_bytes: int
) -> Iterator[Outgoing]:
    """The records that carry the receipts, each of `max_bytes` at most. They need no key: no reader needs them in
    order.
    """
    if not receipts:
        return
    whole = Receipts.model_construct(worker=worker, applied_at=applied_at, receipts=list(receipts))
    value = whole.model_dump_json(exclude_none=True).encode()
    if len(value) <= max_bytes or len(receipts) == 1:
        yield Outgoing(topic, None, value, _HEADERS)
        return
    middle = len(receipts) // 2
    for part in (receipts[:middle], receipts[middle:]):
        yield from receipt_records(worker, topic, part, applied_at, max_bytes=max_bytes)


def receipts_of(results: Iterable[Settled | Undecoded | Ignored]) -> list[Receipt]:
    """One receipt for each record of the batch."""
    return [_settled(result) if isinstance(result, Settled) else _unread(result) for result in results]


def _settled(result: Settled) -> Receipt:
    change = result.item.change
    embedding = getattr(change, "embedding", None)
    outcome: ReceiptOutcome = "dead" if result.rejection else "superseded" if result.superseded else "applied"
    return _receipt(
        result.item.record,
        outcome,
        replayed=result.item.replayed,
        kind=change.kind,
        id=change.id,
        version=change.version,
        occurred_at=getattr(change, "occurred_at", None),
        content_hash=embedding.content_hash if embedding else None,
        model=embedding.model if embedding else None,
    )


def _unread(result: Undecoded | Ignored) -> Receipt:
    outcome: ReceiptOutcome = "ignored" if isinstance(result, Ignored) else "dead"
    return _receipt(result.record, outcome, replayed=result.replayed, kind=result.kind)


def _receipt(record: KafkaRecord, outcome: ReceiptOutcome, *, replayed: bool, **fields: object) -> Receipt:
    answers = (header(record, headers.REPLAY_OF) or b"").decode(errors="replace") or None if replayed else None
    # Nothing here comes from outside: every value was validated with its change, so it is not validated again.
    return Receipt.model_construct(
        topic=record.topic,
        partition=record.partition,
        offset=record.offset,
        outcome=outcome,
        replay_of=answers,
        attempt=attempts(record) if replayed else None,
        **fields,  # type: ignore[arg-type]
    )
