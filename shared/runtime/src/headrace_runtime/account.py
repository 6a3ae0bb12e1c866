"""What a settled batch leaves in the metrics and the log: every record once, by its outcome."""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime

import structlog

from headrace_runtime.dead_letters import fingerprint
from headrace_runtime.decoder import Decoded, Ignored, KafkaRecord, Undecoded, position
from headrace_runtime.items import Settled, kind_of, record_of, rejection_of
from headrace_runtime.metrics import Metrics
from headrace_runtime.newest import conflicts, newest_first
from headrace_schemas.changes import Change
from headrace_schemas.fields import RecordKind
from headrace_worker.stage import Rejected

log = structlog.get_logger(__name__)

Result = Settled | Undecoded | Ignored


class Account:
    """Keeps the metrics of one worker and writes its log lines."""

    def __init__(self, worker: str, metrics: Metrics) -> None:
        self._worker = worker
        self._metrics = metrics

    def settled(self, items: Sequence[Decoded], results: Sequence[Result], *, now: datetime, seconds: float) -> None:
        """A batch is accounted for: `items` decoded, `results` say what became of every record."""
        outcomes: Counter[tuple[RecordKind, str]] = Counter()
        delays: dict[RecordKind, list[float]] = {}
        for result in results:
            if isinstance(result, Settled) and result.rejection is None:
                change = result.item.change
                outcomes[change.kind, "superseded" if result.superseded else "applied"] += 1
                if isinstance(change, Change) and not (result.superseded or result.item.replayed):
                    delay = (now - change.occurred_at).total_seconds()
                    delays.setdefault(change.kind, []).append(max(0.0, delay))
            elif (rejection := rejection_of(result)) is not None:
                outcomes[kind_of(result), "dead"] += 1
                self._dead(record_of(result), rejection, result)
            else:
                outcomes[kind_of(result), "ignored"] += 1
        for (kind, outcome), count in outcomes.items():
            self._metrics.records.labels(kind, outcome).inc(count)
        for kind, of_kind in delays.items():
            self._metrics.delay.observe(kind, of_kind)
        if len(items) > sum(count for (_, outcome), count in outcomes.items() if outcome == "applied"):
            self._conflicts(items)
        self._metrics.held.set(0)
        self._metrics.last_settled.set(now.timestamp())
        self._metrics.batch_seconds.observe(seconds)
        self._metrics.batch_records.observe(len(results))
        log.info("batch_settled", records=len(results), seconds=round(seconds, 3))

    def _conflicts(self, items: Sequence[Decoded]) -> None:
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
