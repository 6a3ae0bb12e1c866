"""The topics on Kafka: created and corrected from their declaration in `headrace_schemas.topics`."""

import asyncio
from collections.abc import Sequence
from typing import Any, NamedTuple

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import TopicAlreadyExistsError, for_code

from headrace_clients.kafka import client_options
from headrace_schemas.topics import TopicSpec, topic_specs
from headrace_worker.settings import CommonSettings

LEADERS_WITHIN = 30.0
"""Seconds that the brokers have to elect the leaders of new partitions."""


TIMESTAMP_TYPE = "message.timestamp.type"
OF_THE_TOPIC = 1
"""Kafka's number for the source of a setting that was made for the topic itself (DYNAMIC_TOPIC_CONFIG)."""


class _Entry(NamedTuple):
    value: str
    source: int


class TopicsDiffer(Exception):
    """A topic exists with a number of partitions that differs from the settings."""


async def apply_topics(settings: CommonSettings, workers: Sequence[str]) -> list[str]:
    """Creates missing topics and corrects settings that differ; safe to repeat. One line for each change made, and for
    each topic whose settings the brokers do not let this account alter.

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
    described = await _described(admin, [spec.name for spec in specs])
    lines = []
    for spec in specs:
        wanted = _config(spec, settings)
        stored = described.get(spec.name, {})
        differing = {key for key, value in wanted.items() if key not in stored or stored[key].value != value}
        if not differing:
            continue
        # A request replaces all settings of a topic, so those that somebody else has made are sent again.
        own = {key: entry.value for key, entry in stored.items() if entry.source == OF_THE_TOPIC}
        refused = await _alter(admin, spec.name, own | wanted)
        lines.append(refused or f"corrected the settings of topic {spec.name}")
        if TIMESTAMP_TYPE in differing and not refused:
            lines.append(
                f"topic {spec.name}: records published before now keep the time that their producer set, until they "
                "are published again; compaction may keep an older version of these"
            )
    return lines


async def _described(admin: Any, names: Sequence[str]) -> dict[str, dict[str, _Entry]]:
    found: dict[str, dict[str, _Entry]] = {}
    for reply in await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, name) for name in names]):
        for _, _, _, name, entries in reply.resources:
            found[name] = {key: _Entry(value, source) for key, value, _, source, *_ in entries}
    return found


async def _alter(admin: Any, name: str, configs: dict[str, str]) -> str | None:
    """Why the settings of the topic cannot be altered; None if they are."""
    for reply in await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, name, configs=configs)]):
        for code, message, *_ in reply.resources:
            if code:
                return f"could not correct the settings of topic {name}: {for_code(code).__name__}: {message}"
    return None


def _config(spec: TopicSpec, settings: CommonSettings) -> dict[str, str]:
    return {**spec.config(), "min.insync.replicas": str(settings.kafka.min_insync_replicas)}
