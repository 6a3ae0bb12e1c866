"""The path of a batch that is not decoded: the stage stores every record as it is and rejects none."""

import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from faststream.exceptions import NackMessage

from headrace_runtime.attempts import retrying
from headrace_runtime.decoder import KafkaRecord
from headrace_runtime.reporter import Reporter
from headrace_runtime.stopping import Stopping
from headrace_worker.settings import BatchSettings
from headrace_worker.stage import RawStage, Unavailable


class RawPath:
    """Gives the batches of one consumer group to a stage, and retries while its store is unavailable."""

    def __init__(self, stage: RawStage, settings: BatchSettings, reporter: Reporter, stopping: Stopping) -> None:
        self._stage = stage
        self._settings = settings
        self._reporter = reporter
        self._stopping = stopping

    async def handle(self, records: Sequence[KafkaRecord]) -> None:
        """Returns when the stage has stored the batch and it may be committed.

        Raises NackMessage if the store stays unavailable: then the batch is not committed and is read again.
        """
        started, polled = time.monotonic(), time.time_ns()
        stored: Mapping[str, int] = {}
        try:
            async for attempt in retrying(
                self._settings, self._stopping, self._reporter.unavailable, self._reporter.retry
            ):
                with attempt:
                    stored = await self._stage.store(records)
        except Unavailable as error:
            self._reporter.given_back(error, len(records))
            raise NackMessage from error
        applied = {(kind, "applied"): count for kind, count in stored.items()}
        seconds = time.monotonic() - started
        self._reporter.counted(applied, now=datetime.now(UTC), seconds=seconds)
        self._reporter.timed(records, polled, {"write": seconds})
