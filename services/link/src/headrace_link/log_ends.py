"""The ends of topics, and the lag of consumer groups."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager, suppress

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from headrace_clients.consumer_groups import committed_offsets, open_clients, unread
from headrace_worker.settings import KafkaSettings
from headrace_worker.stage import Unavailable

ANSWER_SECONDS = 10.0

Ends = dict[TopicPartition, int]


class LogEnds:
    """Reads offsets from the brokers. The first call connects."""

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings
        self._clients: tuple[AIOKafkaConsumer, AIOKafkaAdminClient] | None = None
        self._opened = AsyncExitStack()
        self._connecting = asyncio.Lock()

    async def of(self, partitions: Iterable[tuple[str, int]]) -> Ends:
        """The offset of the next record of each partition. Raises Unavailable."""
        wanted = [TopicPartition(*partition) for partition in set(partitions)]
        if not wanted:
            return {}
        async with self._asking():
            consumer, _ = await self._connected()
            return dict(await consumer.end_offsets(wanted))

    async def of_topic(self, topic: str) -> Ends:
        """The same for all partitions of a topic."""
        return await self.of((topic, number) for number in range(self._settings.partitions))

    async def left(self, group: str, ends: Ends) -> int:
        """The number of records before `ends` that the group has not committed. Raises Unavailable."""
        async with self._asking():
            consumer, admin = await self._connected()
            committed = await committed_offsets(admin, group)
            if any(unread({}, ends, committed).values()):
                starts = await consumer.beginning_offsets(list(ends))
                return sum(unread(starts, ends, committed).values())
            return 0

    async def close(self) -> None:
        """Closes the connections."""
        async with self._connecting:
            opened, self._opened, self._clients = self._opened, AsyncExitStack(), None
        with suppress(KafkaError, TimeoutError, OSError):
            await opened.aclose()

    async def _connected(self) -> tuple[AIOKafkaConsumer, AIOKafkaAdminClient]:
        async with self._connecting:
            if self._clients is None:
                self._clients = await self._opened.enter_async_context(open_clients(self._settings))
            return self._clients

    @asynccontextmanager
    async def _asking(self) -> AsyncIterator[None]:
        """Turns errors of aiokafka into Unavailable. The next call connects again."""
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                yield
        except (KafkaError, TimeoutError, OSError) as error:
            await self.close()
            raise Unavailable("kafka", f"could not read offsets: {type(error).__name__}") from error
