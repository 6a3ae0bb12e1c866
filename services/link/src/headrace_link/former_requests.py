"""Passes on the link requests that releases without models in the names of topics have left, or still write.

An upgraded `link` reads the requests of its model from a topic of their own. Workers and commands of the release before
may write to the former topic until they are replaced.
"""

import asyncio

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from headrace_clients.consumer_groups import committed_offsets, open_clients
from headrace_clients.kafka import consumer_options
from headrace_clients.topic_reader import UnknownTopic, partitions_of
from headrace_clients.worker_copies import groups_of
from headrace_link.product_links import Publish
from headrace_link.settings import LinkSettings
from headrace_worker.stage import Output, Unavailable

log = structlog.get_logger(__name__)
EVERY = 60.0
"""Seconds from the end of one look to the next one."""
POLL_MS = 1000


class FormerRequests:
    """Follows the former topic, if there is one. What is passed on is committed under a group of its own."""

    def __init__(self, settings: LinkSettings, publish: Publish) -> None:
        self._settings = settings
        self._publish = publish
        self._topic = settings.topics.former_relink
        self._former_group = f"{settings.topic_prefix}link"
        self._group = f"{settings.topic_prefix}link.former-requests"

    async def run(self) -> None:
        """Passes requests on until it is cancelled; ends at once if there is no former topic."""
        while True:
            try:
                await self.pass_on()
            except UnknownTopic:
                return
            except (KafkaError, OSError, TimeoutError, Unavailable) as error:
                log.info("former_requests_not_read", raised=type(error).__name__)
            await asyncio.sleep(EVERY)

    async def pass_on(self) -> None:
        """Passes on what nobody has answered. Requests are left to the copies of the former release while one runs.

        Raises UnknownTopic without a former topic, Unavailable, and what aiokafka raises.
        """
        partitions = await partitions_of(self._settings.kafka, [self._topic])
        async with open_clients(self._settings.kafka) as (consumer, admin):
            if (await groups_of(admin, [self._former_group]))[self._former_group].members:
                return
            ends: dict[TopicPartition, int] = await consumer.end_offsets(partitions)
            starts: dict[TopicPartition, int] = await consumer.beginning_offsets(partitions)
            begins = await committed_offsets(admin, self._former_group)
            for partition, offset in (await committed_offsets(admin, self._group)).items():
                begins[partition] = max(offset, begins.get(partition, 0))
        at = {partition: max(starts[partition], begins.get(partition, 0)) for partition in partitions}
        if left := {partition: offset for partition, offset in at.items() if offset < ends[partition]}:
            await self._copy(left, ends)

    async def _copy(self, begins: dict[TopicPartition, int], ends: dict[TopicPartition, int]) -> None:
        consumer = AIOKafkaConsumer(**consumer_options(self._settings.kafka), group_id=self._group)
        consumer.assign(list(begins))
        count = 0
        try:
            await consumer.start()
            for partition, offset in begins.items():
                consumer.seek(partition, offset)
            while any([await consumer.position(partition) < ends[partition] for partition in begins]):
                polled = await consumer.getmany(timeout_ms=POLL_MS)
                records = [record for of_partition in polled.values() for record in of_partition]
                await self._publish([self._again(record) for record in records])
                await consumer.commit()
                count += len(records)
        finally:
            await consumer.stop()
        log.info("former_requests_passed_on", requests=count, topic=self._topic)

    def _again(self, record: object) -> Output:
        key, value = getattr(record, "key", None), getattr(record, "value", None)
        headers = tuple((name, content or b"") for name, content in getattr(record, "headers", ()))
        return Output(self._settings.topics.relink, key or b"", value or b"", headers)
