"""The progress of the workers: how many records there are for each, and for how many there is a receipt."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

from aiokafka import AIOKafkaConsumer, TopicPartition

from headrace_cli.errors import CommandError
from headrace_clients.group_lag import ConsumerGroup
from headrace_clients.kafka import consumer_options
from headrace_clients.topic_reader import TopicReader, open_topics, partitions_of
from headrace_demo.receipt_totals import ReceiptTotals
from headrace_schemas.receipts import Receipts
from headrace_worker.settings import CommonSettings

STALLED_SECONDS = 90.0
"""The time without any receipt after which the demo fails."""


@dataclass(frozen=True, slots=True)
class WorkerProgress:
    """One worker's records: how many there are for it on each topic, and for how many there is a receipt."""

    worker: str
    published_on: Mapping[str, int]
    consumed: int

    @property
    def published(self) -> int:
        return sum(self.published_on.values())


class RunProgress:
    """The progress of all workers. `readers`: the workers; `partitions`: all that they read; `totals`: so far."""

    def __init__(
        self,
        readers: list[ConsumerGroup],
        partitions: list[TopicPartition],
        receipts: TopicReader,
        offsets: AIOKafkaConsumer,
    ) -> None:
        self.readers = readers
        self.totals = ReceiptTotals()
        self._partitions = partitions
        self._receipts = receipts
        self._offsets = offsets

    async def until_settled(
        self, committed: "asyncio.Task[None]", on_progress: Callable[[list[WorkerProgress]], None]
    ) -> list[WorkerProgress]:
        """Returns when there is a receipt for every record of every worker, and no more records will follow.

        `committed`: a task that is done when all that follows from the published records is committed, also by the
        listeners, which publish no receipts. Raises CommandError if no receipt arrives for `STALLED_SECONDS`.
        """
        last_receipt = time.monotonic()
        while True:
            complete = committed.done() and committed.result() is None
            received = await self._receipts.poll()
            for record in received:
                self.totals.add(Receipts.model_validate_json(record.value))
            # The ends are read after the receipts: before embed publishes a receipt, it has published the change.
            progress = self._progress(await self._published())
            on_progress(progress)
            if complete and all(worker.consumed == worker.published for worker in progress):
                return progress
            last_receipt = time.monotonic() if received else last_receipt
            if time.monotonic() - last_receipt > STALLED_SECONDS:
                behind = ", ".join(p.worker for p in progress if p.consumed < p.published) or "a reader of receipts"
                raise CommandError(f"no record was settled for {STALLED_SECONDS:.0f} s; behind: {behind}")

    async def _published(self) -> Counter[str]:
        """How many records each topic has. The topics are new, so that is the sum of their end offsets."""
        counts: Counter[str] = Counter()
        for partition, end in (await self._offsets.end_offsets(self._partitions)).items():
            counts[partition.topic] += end
        return counts

    def _progress(self, published: Counter[str]) -> list[WorkerProgress]:
        found = []
        for reader in self.readers:
            settled = self.totals.of(reader.worker).by_topic
            published_on = {topic: published[topic] for topic in reader.topics}
            found.append(WorkerProgress(reader.worker, published_on, sum(settled[topic] for topic in reader.topics)))
        return found


@asynccontextmanager
async def open_progress(settings: CommonSettings, readers: list[ConsumerGroup]) -> AsyncIterator[RunProgress]:
    """The progress from the first receipt on the topic."""
    partitions = await partitions_of(settings.kafka, frozenset[str]().union(*(reader.topics for reader in readers)))
    offsets = AIOKafkaConsumer(**consumer_options(settings.kafka))
    async with open_topics(settings.kafka, [settings.topics.receipts]) as receipts:
        await offsets.start()
        try:
            yield RunProgress(readers, partitions, receipts, offsets)
        finally:
            await offsets.stop()
