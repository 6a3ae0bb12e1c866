"""The path of a batch. The order of its steps is the guarantee:

1. decode each record alone; one that does not decode becomes a dead letter, the others go on
2. and 3. apply the newest change of each entity; the others count as superseded
4. publish dead letters and receipts and wait until the broker has acknowledged them
5. return; only then does FastStream commit

A crash at any point repeats work and loses none, because every write is fenced by its version.
"""

import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import NoReturn

import structlog
from faststream.exceptions import NackMessage

from headrace_runtime.account import Account, Result
from headrace_runtime.breaker import Breaker
from headrace_runtime.dead_letters import dead_letter, fingerprint
from headrace_runtime.decoder import Decoded, Decoder, KafkaRecord, NewerSchema, position
from headrace_runtime.execute import Executor
from headrace_runtime.health import Health
from headrace_runtime.items import is_replay, record_of, rejection_of
from headrace_runtime.metrics import Metrics
from headrace_runtime.publisher import Outgoing, Publisher
from headrace_runtime.receipts import receipt_records, receipts_of
from headrace_runtime.retry import Stopping
from headrace_runtime.traces import Traces
from headrace_schemas.topics import Topics
from headrace_worker.stage import Unavailable

log = structlog.get_logger(__name__)

HOLD_PAUSE = 5.0
"""Seconds between two looks of a held worker, which keeps polling so that its group does not rebalance."""


class BatchPath:
    """Takes one worker's batches through the five steps. `max_receipts_bytes`: None where none are written."""

    def __init__(
        self,
        worker: str,
        topics: Topics,
        *,
        decoder: Decoder,
        executor: Executor,
        publisher: Publisher,
        breaker: Breaker,
        health: Health,
        metrics: Metrics,
        stopping: Stopping,
        traces: Traces,
        max_dead_letter_bytes: int,
        max_receipts_bytes: int | None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._worker = worker
        self._topics = topics
        self._decoder = decoder
        self._executor = executor
        self._publisher = publisher
        self._breaker = breaker
        self._health = health
        self._metrics = metrics
        self._account = Account(worker, metrics)
        self._stopping = stopping
        self._traces = traces
        self._max_dead_letter_bytes = max_dead_letter_bytes
        self._max_receipts_bytes = max_receipts_bytes
        self._now = now

    async def handle(self, records: Sequence[KafkaRecord]) -> None:
        """Returns when every record is accounted for and the batch may be committed.

        Raises NackMessage when it must be read again: a store or the broker is unavailable, or the worker holds.
        """
        started = time.monotonic()
        with self._traces.batch(records):
            items, results = await self._settle(records)
        self._health.settled()
        self._account.settled(items, results, now=self._now(), seconds=time.monotonic() - started)

    async def _settle(self, records: Sequence[KafkaRecord]) -> tuple[list[Decoded], list[Result]]:
        try:
            decoded = [self._decoder.decode(record) for record in records]
            items = [item for item in decoded if isinstance(item, Decoded)]
            results: list[Result] = [item for item in decoded if not isinstance(item, Decoded)]
            results += await self._executor.settle(items)
            opened_by = self._breaker.opened_by(self._live_rejections(results))
            if opened_by is not None:
                await self._hold(f"most changes are rejected for {opened_by}", fingerprint=opened_by)
            await self._publish(results)
        except NewerSchema as newer:
            await self._hold(str(newer))
        except Unavailable as error:
            self._health.unavailable = error.store
            log.warning("batch_given_back", store=error.store, records=len(records))
            raise NackMessage from error
        return items, results

    async def _hold(self, why: str, **fields: str) -> NoReturn:
        self._health.held = why
        self._metrics.held.set(1)
        log.error(
            "worker_held",
            why=why,
            advice=f"fix the deploy, or run headrace work {self._worker} --allow-rejects",
            **fields,
        )
        await self._stopping.pause(HOLD_PAUSE)
        raise NackMessage

    async def _publish(self, results: Sequence[Result]) -> None:
        now = self._now()
        dead = [
            dead_letter(
                self._worker,
                self._topics.dead(self._worker),
                record_of(result),
                rejection,
                now=now,
                max_bytes=self._max_dead_letter_bytes,
            )
            for result in results
            if (rejection := rejection_of(result)) is not None
        ]
        # A receipt says what is so: it follows the dead letters that it speaks of.
        await self._publisher.publish(dead)
        if self._max_receipts_bytes is not None:
            receipts = receipt_records(
                self._worker,
                self._topics.receipts,
                receipts_of(results),
                now,
                max_bytes=self._max_receipts_bytes,
            )
            await self._publisher.publish(list[Outgoing](receipts))

    def _live_rejections(self, results: Sequence[Result]) -> list[str | None]:
        if all(rejection_of(result) is None for result in results):
            return [None] * sum(not is_replay(result) for result in results)
        # The breaker looks at a window of them: rejects that were read far apart must not stand side by side.
        in_order = sorted(results, key=lambda result: position(record_of(result)))
        rejections = [rejection_of(result) for result in in_order if not is_replay(result)]
        return [fingerprint(self._worker, rejection) if rejection else None for rejection in rejections]
