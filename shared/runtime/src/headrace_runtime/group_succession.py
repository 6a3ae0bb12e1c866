"""Takes over the committed offsets of a consumer group of an earlier release, whose name had no model.

The new group continues where the former one stopped, so that an upgrade reads nothing again and misses nothing.
"""

from collections.abc import Collection

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import CommitFailedError, KafkaError
from aiokafka.structs import OffsetAndMetadata

from headrace_clients.consumer_groups import committed_offsets
from headrace_clients.kafka import client_options, consumer_options
from headrace_schemas.topics import SOURCE_NAMES
from headrace_worker.settings import CommonSettings
from headrace_worker.stage import Unavailable

log = structlog.get_logger(__name__)


async def take_over(settings: CommonSettings, former: str, group: str, topics: Collection[str]) -> None:
    """Commits for the group what the former one has committed of these topics, if the group has committed nothing yet.

    The former group belonged to the model of the settings only if that model has embedded records: a second model reads
    the topics from their start. Raises Unavailable.
    """
    admin = AIOKafkaAdminClient(**client_options(settings.kafka))
    try:
        await admin.start()
        if await committed_offsets(admin, group):
            return
        found = await committed_offsets(admin, former)
        offsets = {partition: offset for partition, offset in found.items() if partition.topic in topics}
        if not offsets or not await _was_embedded(settings, admin):
            return
        await _commit(settings, group, offsets)
    except CommitFailedError:
        # Another copy is in the group already, and has taken the offsets over.
        return
    except (KafkaError, OSError, TimeoutError) as error:
        raise Unavailable("kafka", f"the offsets of {former} could not be read: {type(error).__name__}") from error
    finally:
        await admin.close()
    log.info("offsets_taken_over", former=former, group=group, partitions=len(offsets))


async def _was_embedded(settings: CommonSettings, admin: AIOKafkaAdminClient) -> bool:
    topics = [settings.topics.embedded(kind, settings.model) for kind in SOURCE_NAMES]
    described = await admin.describe_topics(topics)
    partitions = [
        TopicPartition(topic["topic"], part["partition"])
        for topic in described
        if not topic["error_code"]
        for part in topic["partitions"]
    ]
    if not partitions:
        return False
    consumer = AIOKafkaConsumer(**consumer_options(settings.kafka))
    try:
        await consumer.start()
        return any((await consumer.end_offsets(partitions)).values())
    finally:
        await consumer.stop()


async def _commit(settings: CommonSettings, group: str, offsets: dict[TopicPartition, int]) -> None:
    consumer = AIOKafkaConsumer(**consumer_options(settings.kafka), group_id=group)
    consumer.assign(list(offsets))
    try:
        await consumer.start()
        await consumer.commit({partition: OffsetAndMetadata(offset, "") for partition, offset in offsets.items()})
    finally:
        await consumer.stop()
