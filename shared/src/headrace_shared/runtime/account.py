"""What a settled batch leaves in the metrics and the log: every record once, by its outcome."""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime

import structlog

from headrace_schemas.changes import Change
from headrace_schemas.fields import Kind
from headrace_shared.runtime.dead_letters import fingerprint
from headrace_shared.runtime.items import (
    Ignored,
    Item,
    KafkaRecord,
    Settled,
    Undecoded,
    kind_of,
    position,
    record_of,
    rejection_of,
)
from headrace_shared.runtime.metrics import Metrics
from headrace_shared.runtime.newest import conflicts, newest_first
from headrace_shared.stage import Rejected

log = structlog.get_logger(__name__)

Result = Settled | Undecoded | Ignored


class Account:
    """Keeps the metrics of one worker and writes its log lines."""

    def __init__(self, worker: str, metrics: Metrics) -> None:
        self._worker = worker
        self._metrics = metrics

    def settled(self, items: Sequence[Item], results: Sequence[Result], *, now: datetime, seconds: float) -> None:
        """A batch is accounted for: `items` decoded, `results` say what became of every record."""
        outcomes: Counter[tuple[Kind, str]] = Counter()
        for result in results:
            rejection = rejection_of(result)
            if rejection is not None:
                outcomes[kind_of(result), "dead"] += 1
                self._dead(record_of(result), rejection, result)
            elif isinstance(result, Settled):
                outcomes[kind_of(result), "superseded" if result.superseded else "applied"] += 1
            else:
                outcomes[result.kind, "ignored"] += 1
        for (kind, outcome), count in outcomes.items():
            self._metrics.records.labels(kind, outcome).inc(count)
        if any(isinstance(result, Settled) and result.superseded for result in results):
            self._conflicts(items)
        self._delays(results, now)
        self._metrics.held.set(0)
        self._metrics.last_settled.set(now.timestamp())
        self._metrics.batch_seconds.observe(seconds)
        self._metrics.batch_records.observe(len(results))
        log.info("batch_settled", records=len(results), seconds=round(seconds, 3))

    def _delays(self, results: Sequence[Result], now: datetime) -> None:
        histograms = {kind: self._metrics.delay.labels(kind) for kind in {kind_of(result) for result in results}}
        for result in results:
            if not isinstance(result, Settled) or result.superseded or result.rejection or result.item.replayed:
                continue
            change = result.item.change
            if isinstance(change, Change):
                histograms[change.kind].observe(max(0.0, (now - change.occurred_at).total_seconds()))

    def _conflicts(self, items: Sequence[Item]) -> None:
        for candidates in newest_first(items).values():
            if len(candidates) > 1 and (differing := conflicts(candidates)):
                self._metrics.conflicts.inc(differing)
                log.warning("versions_conflict", kind=candidates[0].change.kind, key=candidates[0].change.id)

    def _dead(self, record: KafkaRecord, rejection: Rejected, result: Result) -> None:
        self._metrics.dead.labels(rejection.reason).inc()
        log.warning(
            "dead_letter",
            key=(record.key or b"").decode(errors="replace"),
            version=result.item.change.version if isinstance(result, Settled) else None,
            position="-".join(map(str, position(record))),
            reason=rejection.reason,
            fingerprint=fingerprint(self._worker, rejection),
        )
