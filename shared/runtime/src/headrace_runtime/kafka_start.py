"""Lets a worker wait at its start until Kafka can be used, and report what it waits for."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence

import structlog
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import CoordinatorLoadInProgressError, KafkaError, for_code
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, wait_random_exponential

from headrace_clients.consumer_groups import NO_GROUPS_YET
from headrace_clients.kafka import client_options
from headrace_clients.kafka_obstacle import obstacle
from headrace_clients.topic_reader import UnknownTopic, partitions_of
from headrace_runtime.health import Health
from headrace_worker.settings import KafkaSettings
from headrace_worker.stage import Unavailable

log = structlog.get_logger(__name__)

FIRST_PAUSE = 0.5
LONGEST_PAUSE = 10.0
"""Seconds."""
GROUPS_WITHIN = 30.0
"""Seconds in which new brokers make the topic of committed offsets, when a group first asks for it."""
GROUPS_PAUSE = 0.1
BEAT_SECONDS = 1.0
NOT_YET = (*NO_GROUPS_YET, CoordinatorLoadInProgressError)


class KafkaStart:
    """The wait of all consumer groups of a worker; `healths`: theirs, which report it. `before_joining`: what else
    a group needs, by its name; may raise Unavailable.
    """

    def __init__(
        self,
        settings: KafkaSettings,
        healths: Sequence[Health],
        before_joining: Callable[[str], Awaitable[None]] | None = None,
    ) -> None:
        self._before_joining = before_joining
        self._settings = settings
        self._healths = healths

    async def ready(self, group: str, topics: Iterable[str]) -> None:
        """Returns when a broker lets the worker in, the topics exist, and a broker coordinates the group. It tries
        without end, with growing pauses.
        """
        wanted = list(topics)
        beating = asyncio.create_task(self._beat())
        try:
            async for attempt in AsyncRetrying(
                retry=retry_if_exception_type(Unavailable),
                wait=wait_random_exponential(multiplier=FIRST_PAUSE, max=LONGEST_PAUSE),
                before_sleep=self._report,
            ):
                with attempt:
                    await self._check(group, wanted)
                    if self._before_joining is not None:
                        await self._before_joining(group)
        finally:
            beating.cancel()
        for health in self._healths:
            health.solved("kafka", "kafka")

    async def _check(self, group: str, topics: Sequence[str]) -> None:
        if (why := await obstacle(self._settings)) is not None:
            raise why
        try:
            if topics:
                await partitions_of(self._settings, topics)
            await self._coordinated(group)
        except UnknownTopic as error:
            raise Unavailable("kafka", str(error)) from error
        except (KafkaError, OSError, TimeoutError) as error:
            raise Unavailable("kafka", f"a request that the start needs failed: {type(error).__name__}") from error

    async def _coordinated(self, group: str) -> None:
        """A consumer that joins before there is a coordinator logs errors, although nothing is wrong."""
        admin = AIOKafkaAdminClient(**client_options(self._settings))
        try:
            await admin.start()
            async with asyncio.timeout(GROUPS_WITHIN):
                while True:
                    if await _has_coordinator(admin, group):
                        return
                    await asyncio.sleep(GROUPS_PAUSE)
        except TimeoutError as error:
            detail = "no broker coordinates consumer groups; check the replicas of Kafka's topic __consumer_offsets"
            raise Unavailable("kafka", detail) from error
        finally:
            await admin.close()

    def _report(self, state: RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        if isinstance(error, Unavailable):
            for health in self._healths:
                health.problem("kafka", "kafka", error.detail)
            log.warning("kafka_unavailable", detail=error.detail, attempt=state.attempt_number)

    async def _beat(self) -> None:
        while True:
            for health in self._healths:
                health.beat()
            await asyncio.sleep(BEAT_SECONDS)


async def _has_coordinator(admin: AIOKafkaAdminClient, group: str) -> bool:
    try:
        (answer,) = await admin.describe_consumer_groups([group])
    except NOT_YET:
        return False
    return all(for_code(described[0]) not in NOT_YET for described in answer.groups)
