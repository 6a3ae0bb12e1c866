"""`topics apply` on topics that exist, and the time by which compaction counts."""

from typing import Any

import pytest
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import TopicAuthorizationFailedError
from harness.records import eventually, read_all

from headrace_cli.kafka_topics import apply_topics
from headrace_clients.kafka import client_options, producer
from headrace_worker.settings import WorkerSettings

pytestmark = pytest.mark.servers

A_YEAR_AGO = 1_700_000_000_000
LOG_APPEND_TIME = 1
OTHERS = {"segment.ms": "3600000"}


async def test_compaction_of_an_existing_topic_counts_from_the_time_of_the_append(
    settings: WorkerSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    topic = settings.topics.source("product")
    await _alter(settings, topic, {"cleanup.policy": "compact", "message.timestamp.type": "CreateTime", **OTHERS})
    await eventually(lambda: _has(settings, topic, "CreateTime"))
    with monkeypatch.context() as refused:
        refused.setattr(AIOKafkaAdminClient, "alter_configs", _refused)
        (line,) = await apply_topics(settings, ["memory"])
        assert line.startswith(f"could not correct the settings of topic {topic}: TopicAuthorizationFailedError")
    corrected, keeps = await apply_topics(settings, ["memory"])
    assert corrected == f"corrected the settings of topic {topic}"
    assert "keep the time that their producer set" in keeps
    await eventually(lambda: _has(settings, topic, "LogAppendTime"))
    assert await apply_topics(settings, ["memory"]) == []
    client = producer(settings.kafka)
    await client.start()
    try:
        await client.send_and_wait(topic, b"{}", key=b"p1", timestamp_ms=A_YEAR_AGO)
    finally:
        await client.stop()
    (record,) = await read_all(settings, topic)
    assert record.timestamp_type == LOG_APPEND_TIME
    assert record.timestamp > A_YEAR_AGO
    assert (await _settings_of(settings, topic))["segment.ms"] == OTHERS["segment.ms"]


async def _has(settings: WorkerSettings, topic: str, timestamp_type: str) -> bool:
    return (await _settings_of(settings, topic))["message.timestamp.type"] == timestamp_type


async def _refused(admin: AIOKafkaAdminClient, resources: list[ConfigResource]) -> list[Any]:
    class Reply:
        resources = ((TopicAuthorizationFailedError.errno, "Topic authorization failed.", 2, "topic"),)

    return [Reply()]


async def _alter(settings: WorkerSettings, topic: str, configs: dict[str, str]) -> None:
    admin = AIOKafkaAdminClient(**client_options(settings.kafka))
    await admin.start()
    try:
        kept = {"min.compaction.lag.ms", "delete.retention.ms", "max.message.bytes", "min.insync.replicas"}
        stored = await _settings_of(settings, topic)
        kept_values = {key: stored[key] for key in kept}
        await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, configs=kept_values | configs)])
    finally:
        await admin.close()


async def _settings_of(settings: WorkerSettings, topic: str) -> dict[str, str]:
    admin = AIOKafkaAdminClient(**client_options(settings.kafka))
    await admin.start()
    try:
        (reply,) = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, topic)])
        return {entry[0]: entry[1] for entry in reply.resources[0][4]}
    finally:
        await admin.close()
