"""Reports after a rebalance how many partitions a worker reads, and whether records expired before it read them."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence

import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition

from headrace_runtime.health import Health
from headrace_runtime.metrics import Metrics
from headrace_schemas.topics import Topics
from headrace_worker.expired_links import sweep_for_expired
from headrace_worker.stage import Output, RepairsExpiry, Unavailable

log = structlog.get_logger(__name__)


class Assignment(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka has no types
    """Reports the assigned partitions to the worker's health, and records that expired unread to its health and log.

    `inputs`: a new group reads every record of these topics, so that a start above offset 0 means expired records;
    replay topics are excluded. `on_expired` is called if records expired, with the first offset that is left of each
    partition.
    """

    def __init__(
        self,
        consumer: AIOKafkaConsumer,
        health: Health,
        metrics: Metrics,
        inputs: Collection[str],
        on_expired: Callable[[Mapping[TopicPartition, int]], Awaitable[None]],
    ) -> None:
        self._consumer = consumer
        self._health = health
        self._metrics = metrics
        self._inputs = inputs
        self._on_expired = on_expired
        self._checked = asyncio.Event()
        self._checked.set()

    async def checked(self) -> None:
        """Returns when it is known which records expired before the last rebalance. A commit before would hide them."""
        await self._checked.wait()

    async def on_partitions_revoked(self, revoked: Collection[TopicPartition]) -> None:
        """aiokafka's callback before a rebalance."""
        self._health.assigned = 0
        self._health.batch_problems_end()

    async def on_partitions_assigned(self, assigned: Collection[TopicPartition]) -> None:
        """aiokafka's callback after a rebalance."""
        self._metrics.rebalances.inc()
        self._health.assigned = len(assigned)
        self._checked.clear()
        try:
            await self._look_for_expired(assigned)
        finally:
            self._checked.set()

    async def _look_for_expired(self, assigned: Collection[TopicPartition]) -> None:
        if not assigned:
            return
        starts: Mapping[TopicPartition, int] = await self._consumer.beginning_offsets(list(assigned))
        expired: dict[TopicPartition, int] = {}
        for partition, start in starts.items():
            committed = await self._consumer.committed(partition)
            if committed is None and partition.topic in self._inputs:
                committed = 0
            if committed is not None and committed < start:
                self._report_expired(partition, start - committed)
                expired[partition] = start
        if expired:
            await self._on_expired(expired)

    def _report_expired(self, partition: TopicPartition, records: int) -> None:
        self._metrics.expired.labels(partition.topic, str(partition.partition)).inc(records)
        self._health.expired += records
        log.error(
            "records_expired_unread",
            topic=partition.topic,
            partition=partition.partition,
            offsets=records,
            advice="the topic's retention removed records that this worker had not read; see docs/operations.md, "
            "'When records have expired unread'",
        )


class Repair:
    """Publishes what a worker asks for after records expired unread: what its stage asks for, and every link set again
    if link sets expired.

    `due` is what is not published yet. While it is not empty nothing may be committed, or a restart would forget it.
    """

    def __init__(self, stage: object, topics: Topics, publish: Callable[[Sequence[Output]], Awaitable[None]]) -> None:
        self._stage = stage
        self._topics = topics
        self._publish = publish
        self._publishing = asyncio.Lock()
        self.due: Sequence[Output] = ()

    async def records_expired(self, first_left: Mapping[TopicPartition, int]) -> None:
        """Publishes now, or before the next batch if the broker is unavailable now.

        `first_left`: the first offset that is left of each partition of which records expired.
        """
        outputs = list(self._stage.after_expiry()) if isinstance(self._stage, RepairsExpiry) else []
        outputs += sweep_for_expired(self._topics, first_left)
        if not outputs:
            return
        self.due = [*self.due, *outputs]
        try:
            await self.publish()
        except Unavailable as error:
            log.warning("repair_waits", store=error.store, detail=error.detail)

    async def publish(self) -> None:
        """Publishes what is due. Raises Unavailable.

        A rebalance and a batch may call this at the same time: nothing is published twice, and each returns when what
        was due at its call is published.
        """
        async with self._publishing:
            if not self.due:
                return
            due = self.due
            await self._publish(due)
            self.due = self.due[len(due) :]
        log.info("expiry_repaired", records=len(due))
