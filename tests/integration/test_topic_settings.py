"""`topics apply` on topics that exist, and the time by which compaction counts."""

import asyncio
import json
import time
from typing import Any

import pytest
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import TopicAuthorizationFailedError
from harness.records import eventually, product, read_all

from headrace_cli.kafka_topics import apply_topics
from headrace_clients.kafka import client_options, producer
from headrace_worker.settings import WorkerSettings

pytestmark = pytest.mark.servers

A_YEAR_AGO = 1_700_000_000_000
LOG_APPEND_TIME = 1
OTHERS = {"segment.ms": "3600000"}
A_SECOND, HALF_AN_HOUR = 1000, 1_800_000


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


async def test_compaction_keeps_the_newest_version_whatever_time_the_producer_sets(settings: WorkerSettings) -> None:
    topic = settings.topics.source("product")
    # The topic is as a release without LogAppendTime made it, and the cleaner leaves it alone while the ratio is 1.
    cleaned = {"cleanup.policy": "compact", "segment.ms": "10", "min.cleanable.dirty.ratio": "1"}
    await _alter(settings, topic, {"message.timestamp.type": "CreateTime", **cleaned})
    await eventually(lambda: _has(settings, topic, "CreateTime"))
    await _publish_at(settings, topic, *[("witness", at, A_YEAR_AGO + at * A_SECOND) for at in (1, 2, 3)])
    await eventually(lambda: _is_corrected(settings))
    ahead = int(time.time() * 1000) + HALF_AN_HOUR
    old = [("old", version, A_YEAR_AGO + at * A_SECOND) for at, version in enumerate((5, 3), 10)]
    await _publish_at(settings, topic, *old, *[("ahead", version, ahead) for version in (5, 3)], ("last", 1, ahead))
    newest = {"old": [5, 3], "ahead": [5, 3]}
    assert await _versions(settings, topic) == newest | {"witness": [1, 2, 3], "last": [1]}

    kind = (await _settings_of(settings, topic))["message.timestamp.type"]
    await _alter(settings, topic, cleaned | {"message.timestamp.type": kind, "min.cleanable.dirty.ratio": "0.01"})
    await eventually(lambda: _is_compacted(settings, topic), within=60)
    assert await _versions(settings, topic) == newest | {"witness": [3], "last": [1]}


async def _publish_at(settings: WorkerSettings, topic: str, *changes: tuple[str, int, int]) -> None:
    """Publishes each change, as id, version and time, to a segment of its own."""
    client = producer(settings.kafka)
    await client.start()
    try:
        for id, version, at in changes:
            value = json.dumps(product(id, version)).encode()
            await client.send_and_wait(topic, value, key=id.encode(), partition=0, timestamp_ms=at)
            await asyncio.sleep(0.05)
    finally:
        await client.stop()


async def _versions(settings: WorkerSettings, topic: str) -> dict[str, list[int]]:
    """The versions of each key that the topic has."""
    found: dict[str, list[int]] = {}
    for record in await read_all(settings, topic):
        found.setdefault(record.key.decode(), []).append(json.loads(record.value)["version"])
    return found


async def _is_corrected(settings: WorkerSettings) -> bool:
    return await apply_topics(settings, ["memory"]) == []


async def _is_compacted(settings: WorkerSettings, topic: str) -> bool:
    return (await _versions(settings, topic))["witness"] == [3]


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
