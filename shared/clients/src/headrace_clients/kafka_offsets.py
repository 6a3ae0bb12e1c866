"""Reads offsets from Kafka, also while Kafka restarts."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from typing import TypeVar

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from headrace_clients.consumer_groups import Offsets, committed_offsets, open_clients, published_ends
from headrace_clients.topic_reader import partitions_of
from headrace_worker.settings import KafkaSettings

ANSWER_SECONDS = 15.0
PAUSE_SECONDS = 1.0
NO_ANSWER = (KafkaError, OSError, TimeoutError)
"""What the clients raise while brokers are away."""

T = TypeVar("T")
Ask = Callable[[AIOKafkaConsumer, AIOKafkaAdminClient], Awaitable[T]]


class KafkaSilent(Exception):
    """Kafka has answered before and does not answer now. `since`: the time of the first call without an answer."""

    def __init__(self, since: datetime) -> None:
        super().__init__("Kafka does not answer")
        self.since = since


class KafkaOffsets:
    """Each call is repeated until `deadline` (seconds, monotonic), with new connections, if Kafka stops answering.

    Calls raise KafkaSilent after that. Before the first answer they raise what aiokafka raises, at once.
    """

    def __init__(self, settings: KafkaSettings, deadline: float) -> None:
        self._settings = settings
        self._deadline = deadline
        self._opened = AsyncExitStack()
        self._clients: tuple[AIOKafkaConsumer, AIOKafkaAdminClient] | None = None
        self._answered = False
        self._known: dict[str, list[TopicPartition]] = {}
        self.silent_since: datetime | None = None

    async def partitions(self, topics: Iterable[str]) -> list[TopicPartition]:
        """Every partition of the topics, which is asked for once. Raises UnknownTopic if one of them does not exist."""
        wanted = sorted(topics)
        if new := [topic for topic in wanted if topic not in self._known]:
            found = await self._ask(lambda consumer, admin: partitions_of(self._settings, new))
            for topic in new:
                self._known[topic] = [partition for partition in found if partition.topic == topic]
        return [partition for topic in wanted for partition in self._known[topic]]

    async def starts(self, partitions: Sequence[TopicPartition]) -> Offsets:
        """The first offset that retention has left of each partition."""
        return await self._ask(lambda consumer, admin: consumer.beginning_offsets(partitions)) if partitions else {}

    async def ends(self, partitions: Sequence[TopicPartition]) -> Offsets:
        """The end of what can be read of each partition: the last stable offset."""
        return await self._ask(lambda consumer, admin: consumer.end_offsets(partitions)) if partitions else {}

    async def published(self, partitions: Sequence[TopicPartition]) -> Offsets:
        """The end of each partition, also of what lies behind an open transaction and cannot be read yet."""
        return await self._ask(lambda consumer, admin: published_ends(self._settings, partitions)) if partitions else {}

    async def at(self, partitions: Sequence[TopicPartition], moment: datetime) -> Offsets:
        """The offset of the first record from that time on, by Kafka's time of the record; a partition without such a
        record is missing.
        """
        milliseconds = max(0, int(moment.timestamp() * 1000))
        times = dict.fromkeys(partitions, milliseconds)
        found = await self._ask(lambda consumer, admin: consumer.offsets_for_times(times)) if partitions else {}
        return {partition: stored.offset for partition, stored in found.items() if stored is not None}

    async def committed(self, group: str) -> Offsets:
        """The committed offsets of a consumer group."""
        return await self._ask(lambda consumer, admin: committed_offsets(admin, group))

    async def close(self) -> None:
        """Closes the connections; the next call connects again."""
        opened, self._opened, self._clients = self._opened, AsyncExitStack(), None
        await closed(opened.aclose())

    async def _ask(self, ask: Ask[T]) -> T:
        while True:
            try:
                async with asyncio.timeout(ANSWER_SECONDS):
                    if self._clients is None:
                        self._clients = await self._opened.enter_async_context(open_clients(self._settings))
                    answer = await ask(*self._clients)
            except NO_ANSWER:
                if not self._answered:
                    raise
                await self.close()
                self.silent_since = self.silent_since or datetime.now(UTC)
                if time.monotonic() > self._deadline:
                    raise KafkaSilent(self.silent_since) from None
                await asyncio.sleep(PAUSE_SECONDS)
            else:
                self._answered, self.silent_since = True, None
                return answer


async def closed(closing: Awaitable[None]) -> None:
    """Awaits the end of a client, whatever it raises: aiokafka may raise its own cancellation while a broker is away,
    which looks like that of the caller.
    """
    await asyncio.gather(closing, return_exceptions=True)


@asynccontextmanager
async def open_offsets(settings: KafkaSettings, deadline: float) -> AsyncIterator[KafkaOffsets]:
    """Offsets whose connections are closed at the end of the block."""
    offsets = KafkaOffsets(settings, deadline)
    try:
        yield offsets
    finally:
        await offsets.close()
