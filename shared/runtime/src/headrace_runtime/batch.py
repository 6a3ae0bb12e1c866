"""The path of a batch. The guarantees rest on the order of its steps:

1. decode each record alone; a record that does not decode becomes a dead letter, the others continue
2. and 3. apply the newest change of each entity; the older ones are superseded
4. publish dead letters and receipts, and wait until the brokers have acknowledged them
5. return; only then does FastStream commit the offsets

A crash between any two steps repeats work and loses nothing, because every write is fenced by its version.
"""

import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import NoReturn

from faststream.exceptions import NackMessage

from headrace_runtime.assignment import Repair
from headrace_runtime.attempts import Result, RetryLoop, Stopping
from headrace_runtime.breaker import Breaker, BreakerOpen
from headrace_runtime.decoder import Decoded, Decoder, KafkaRecord, NewerSchema
from headrace_runtime.reporter import Reporter
from headrace_runtime.results import ResultPublisher
from headrace_worker.stage import Unavailable

HOLD_PAUSE = 5.0
"""Seconds between two reads of a held worker, which continues to poll so that its group does not rebalance."""


class BatchPath:
    """Takes the batches of one consumer group through the five steps."""

    def __init__(
        self,
        decoder: Decoder,
        loop: RetryLoop,
        breaker: Breaker,
        publisher: ResultPublisher,
        repair: Repair,
        reporter: Reporter,
        stopping: Stopping,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._decoder = decoder
        self._loop = loop
        self._breaker = breaker
        self._publisher = publisher
        self._repair = repair
        self._reporter = reporter
        self._stopping = stopping
        self._now = now

    async def handle(self, records: Sequence[KafkaRecord]) -> None:
        """Returns when every record is settled and the batch may be committed.

        Raises NackMessage if the batch must be read again: a store or the broker is unavailable, or the worker is held.
        """
        started = time.monotonic()
        try:
            if self._repair.due:
                await self._repair.publish()
            results = await self._settle(records)
        except BreakerOpen as opened:
            await self._hold(str(opened), fingerprint=opened.fingerprint)
        except NewerSchema as newer:
            await self._hold(str(newer))
        except Unavailable as error:
            self._reporter.given_back(error, len(records))
            raise NackMessage from error
        self._reporter.settled(results, now=self._now(), seconds=time.monotonic() - started)

    async def _settle(self, records: Sequence[KafkaRecord]) -> list[Result]:
        decoded = [self._decoder.decode(record) for record in records]
        results: list[Result] = [one for one in decoded if not isinstance(one, Decoded)]
        results += await self._loop.answers(one for one in decoded if isinstance(one, Decoded))
        self._breaker.check(results)
        await self._publisher.publish(results, self._now())
        return results

    async def _hold(self, why: str, **fields: str) -> NoReturn:
        self._reporter.held(why, **fields)
        await self._stopping.pause(HOLD_PAUSE)
        raise NackMessage
