"""Where topics end now, and how far a consumer group has come."""

import asyncio
from collections.abc import Iterable, Mapping
from contextlib import suppress

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import CoordinatorNotAvailableError, KafkaError, NotCoordinatorError

from headrace_shared.kafka import client_options
from headrace_shared.settings import KafkaSettings
from headrace_shared.stage import Unavailable

ANSWER_SECONDS = 10.0

Ends = dict[tuple[str, int], int]


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
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                ends = await (await self._connected()).end_offsets(wanted)
        except (KafkaError, TimeoutError, OSError) as error:
            raise await self._failed(error) from error
        return {(partition.topic, partition.partition): end for partition, end in ends.items()}

    async def of_topic(self, topic: str) -> Ends:
        """The same of all partitions of a topic."""
        return await self.of((topic, number) for number in range(self._settings.partitions))

    async def left(self, group: str, ends: Mapping[tuple[str, int], int]) -> int:
        """How many records before `ends` the group has not committed. Raises Unavailable."""
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                answer = await (await self._connected_admin()).list_consumer_group_offsets(group)
        except (CoordinatorNotAvailableError, NotCoordinatorError):
            # As on a cluster where no group has committed anything yet.
            answer = {}
        except (KafkaError, TimeoutError, OSError) as error:
            raise await self._failed(error) from error
        committed = {(partition.topic, partition.partition): stored.offset for partition, stored in answer.items()}
        return sum(max(0, end - committed.get(partition, 0)) for partition, end in ends.items())

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

    async def _failed(self, error: Exception) -> Unavailable:
        await self.close()
        return Unavailable("kafka", f"offsets not told: {type(error).__name__}")
