"""The topics on Kafka: created and corrected from their declaration in `headrace_schemas.topics`."""

import asyncio
from collections.abc import Sequence
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import TopicAlreadyExistsError, for_code

from headrace_clients.kafka import client_options
from headrace_schemas.topics import TopicSpec, topic_specs
from headrace_worker.settings import CommonSettings

LEADERS_WITHIN = 30.0
"""Seconds that the brokers have to elect the leaders of new partitions."""


class TopicsDiffer(Exception):
    """A topic exists with a number of partitions that differs from the settings."""


async def apply_topics(settings: CommonSettings, workers: Sequence[str]) -> list[str]:
    """Creates missing topics and corrects settings that differ; safe to repeat. One line for each change made.

    Raises TopicsDiffer for a topic with another number of partitions. That number never changes: keys would move to
    other partitions, and a delete could be read before the upsert that it follows. More partitions need a new topic
    prefix, and the catalogue published again.
    """
    specs = topic_specs(settings.topics, settings.model, list(workers), settings.kafka.max_record_bytes)
    admin = AIOKafkaAdminClient(**client_options(settings.kafka))
    await admin.start()
    try:
        existing = set(await admin.list_topics())
        missing = [spec for spec in specs if spec.name not in existing]
        lines = await _create(admin, missing, settings)
        present = [spec for spec in specs if spec.name in existing]
        if present:
            await _check_partitions(admin, present, settings.kafka.partitions)
            lines += await _correct(admin, present, settings)
        return lines
    finally:
        await admin.close()


async def _create(admin: Any, specs: Sequence[TopicSpec], settings: CommonSettings) -> list[str]:
    if not specs:
        return []
    kafka = settings.kafka
    topics = [
        NewTopic(spec.name, kafka.partitions, kafka.replication_factor, topic_configs=_config(spec, settings))
        for spec in specs
    ]
    reply = await admin.create_topics(topics)
    for _, code, *_ in reply.topic_errors:
        error = for_code(code)
        # It is no error that another `topics apply` creates the topic at the same time.
        if code and error is not TopicAlreadyExistsError:
            raise error(str(reply.topic_errors))
    await _wait_for_leaders(admin, [spec.name for spec in specs])
    return [f"created topic {spec.name}" for spec in specs]


async def _wait_for_leaders(admin: Any, names: Sequence[str]) -> None:
    async with asyncio.timeout(LEADERS_WITHIN):
        while True:
            described = await admin.describe_topics(list(names))
            if all(p["leader"] >= 0 for topic in described for p in topic["partitions"] or [{"leader": -1}]):
                return
            await asyncio.sleep(0.1)


async def _check_partitions(admin: Any, specs: Sequence[TopicSpec], partitions: int) -> None:
    described = await admin.describe_topics([spec.name for spec in specs])
    for topic in described:
        if len(topic["partitions"]) != partitions:
            raise TopicsDiffer(
                f"topic {topic['topic']} has {len(topic['partitions'])} partitions and HEADRACE_KAFKA__PARTITIONS is "
                f"{partitions}: the count of a topic in use never changes; restore the setting, or set a new "
                "HEADRACE_TOPIC_PREFIX and publish the catalogue again"
            )


async def _correct(admin: Any, specs: Sequence[TopicSpec], settings: CommonSettings) -> list[str]:
    resources = [ConfigResource(ConfigResourceType.TOPIC, spec.name) for spec in specs]
    stored: dict[str, dict[str, str]] = {}
    for reply in await admin.describe_configs(resources):
        for _, _, _, name, entries in reply.resources:
            stored[name] = {entry[0]: entry[1] for entry in entries}
    changed = []
    for spec in specs:
        wanted = _config(spec, settings)
        if any(stored.get(spec.name, {}).get(key) != value for key, value in wanted.items()):
            await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, spec.name, configs=wanted)])
            changed.append(f"corrected the settings of topic {spec.name}")
    return changed


def _config(spec: TopicSpec, settings: CommonSettings) -> dict[str, str]:
    return {**spec.config(), "min.insync.replicas": str(settings.kafka.min_insync_replicas)}
