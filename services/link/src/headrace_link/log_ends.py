"""Where topics end now, and how far a consumer group has come."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from headrace_shared.consumer_groups import committed_offsets, unread
from headrace_shared.kafka import client_options
from headrace_shared.settings import KafkaSettings
from headrace_shared.stage import Unavailable

ANSWER_SECONDS = 10.0

Ends = dict[TopicPartition, int]


class LogEnds:
    """Asks the brokers; the first question connects."""

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings
        self._consumer: AIOKafkaConsumer | None = None
        self._admin: AIOKafkaAdminClient | None = None
        self._connecting = asyncio.Lock()

    async def of(self, partitions: Iterable[tuple[str, int]]) -> Ends:
        """The offset that the next record of each partition gets. Raises Unavailable."""
        wanted = [TopicPartition(*partition) for partition in set(partitions)]
        if not wanted:
            return {}
        async with self._asking():
            return dict(await (await self._connected()).end_offsets(wanted))

    async def of_topic(self, topic: str) -> Ends:
        """The same of all partitions of a topic."""
        return await self.of((topic, number) for number in range(self._settings.partitions))

    async def left(self, group: str, ends: Ends) -> int:
        """How many records before `ends` the group has not committed. Raises Unavailable."""
        async with self._asking():
            committed = await committed_offsets(await self._connected_admin(), group)
            if any(unread({}, ends, committed).values()):
                starts = await (await self._connected()).beginning_offsets(list(ends))
                return sum(unread(starts, ends, committed).values())
            return 0

    async def close(self) -> None:
        """Closes the connections."""
        consumer, admin = self._consumer, self._admin
        self._consumer = self._admin = None
        with suppress(KafkaError, TimeoutError, OSError):
            if consumer is not None:
                await consumer.stop()
            if admin is not None:
                await admin.close()

    async def _connected(self) -> AIOKafkaConsumer:
        async with self._connecting:
            if self._consumer is None:
                consumer = AIOKafkaConsumer(**client_options(self._settings), enable_auto_commit=False)
                try:
                    await consumer.start()
                except BaseException:
                    await consumer.stop()
                    raise
                self._consumer = consumer
            return self._consumer

    async def _connected_admin(self) -> AIOKafkaAdminClient:
        async with self._connecting:
            if self._admin is None:
                admin = AIOKafkaAdminClient(**client_options(self._settings))
                await admin.start()
                self._admin = admin
            return self._admin

    @asynccontextmanager
    async def _asking(self) -> AsyncIterator[None]:
        """Raises Unavailable for what aiokafka raises, and connects again at the next question."""
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                yield
        except (KafkaError, TimeoutError, OSError) as error:
            await self.close()
            raise Unavailable("kafka", f"offsets not told: {type(error).__name__}") from error
