"""Follows the receipts until every record is accounted for."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiokafka import AIOKafkaConsumer, TopicPartition

from headrace_cli.errors import CommandError
from headrace_cli.topic_graph import Reader
from headrace_clients.kafka import client_options
from headrace_clients.topic_reader import TopicReader, open_topics, partitions_of
from headrace_demo.receipt_totals import Accounts
from headrace_schemas.receipts import Receipts
from headrace_worker.settings import CommonSettings

PATIENCE_SECONDS = 90.0
"""How long nothing at all may be settled before something must be wrong."""


@dataclass(frozen=True, slots=True)
class Standing:
    """One worker's records: how many there are for it on each topic, and for how many there is a receipt."""

    worker: str
    published_on: Mapping[str, int]
    consumed: int

    @property
    def published(self) -> int:
        return sum(self.published_on.values())


@dataclass(slots=True)
class Following:
    """The accounts so far. `readers`: the workers, and `partitions` all that they read."""

    readers: list[Reader]
    partitions: list[TopicPartition]
    receipts: TopicReader
    ends: AIOKafkaConsumer
    accounts: Accounts = field(default_factory=Accounts)

    async def until_accounted(
        self, walked: "asyncio.Task[None]", look: Callable[[list[Standing]], None]
    ) -> list[Standing]:
        """Returns when there is a receipt for every record that any worker was to read, and no more will follow.

        `walked`: is done when all that follows from what is published has been read, also by those who read receipts
        and give none. Raises CommandError when nothing moves any more.
        """
        moved = time.monotonic()
        while True:
            complete = walked.done() and walked.result() is None
            received = await self.receipts.poll()
            for record in received:
                self.accounts.add(Receipts.model_validate_json(record.value))
            # In this order: what embed has a receipt for, it has published before.
            standings = self._standings(await self._published())
            look(standings)
            if complete and all(standing.consumed == standing.published for standing in standings):
                return standings
            moved = time.monotonic() if received else moved
            if time.monotonic() - moved > PATIENCE_SECONDS:
                behind = ", ".join(s.worker for s in standings if s.consumed < s.published) or "a reader of receipts"
                raise CommandError(f"nothing was settled for {PATIENCE_SECONDS:.0f} s; behind: {behind}")

    async def _published(self) -> Counter[str]:
        """How many records each topic has; the topics are new, so their ends say it."""
        counts: Counter[str] = Counter()
        for partition, end in (await self.ends.end_offsets(self.partitions)).items():
            counts[partition.topic] += end
        return counts

    def _standings(self, published: Counter[str]) -> list[Standing]:
        found = []
        for reader in self.readers:
            read = self.accounts.of(reader.worker).by_topic
            there = {topic: published[topic] for topic in reader.topics}
            found.append(Standing(reader.worker, there, sum(read[topic] for topic in reader.topics)))
        return found


@asynccontextmanager
async def following(settings: CommonSettings, readers: list[Reader]) -> AsyncIterator[Following]:
    """Follows the receipts topic from its beginning."""
    partitions = await partitions_of(settings.kafka, frozenset[str]().union(*(reader.topics for reader in readers)))
    ends = AIOKafkaConsumer(**client_options(settings.kafka), enable_auto_commit=False)
    async with open_topics(settings.kafka, [settings.topics.receipts]) as receipts:
        await ends.start()
        try:
            yield Following(readers, partitions, receipts, ends)
        finally:
            await ends.stop()
