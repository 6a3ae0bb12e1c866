"""Consumer groups named by model take over where those of the release before stopped; a second model starts anew."""

from dataclasses import replace
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from harness.live_workers import running
from harness.memory import MemoryStage, memory_worker
from harness.records import eventually, product, publish

from headrace_cli.kafka_topics import apply_topics
from headrace_clients.kafka import client_options
from headrace_link.former_requests import FormerRequests
from headrace_link.settings import LinkSettings
from headrace_worker.settings import WorkerSettings

pytestmark = pytest.mark.servers


async def test_an_upgrade_reads_nothing_again_and_misses_nothing(settings: WorkerSettings) -> None:
    products, before, after, second = settings.topics.source("product"), MemoryStage(), MemoryStage(), MemoryStage()
    await publish(settings, products, [product(f"a{n}", 1) for n in range(20)])
    async with running(memory_worker(before), settings):
        await eventually(lambda: len(before.stored) == 20)
    await publish(settings, products, [product(f"b{n}", 1) for n in range(20)])
    await publish(settings, settings.topics.embedded("product", settings.model), [product("a0", 1)])
    async with running(replace(memory_worker(after), by_model=True), settings):
        await eventually(lambda: len(after.stored) >= 20)
    assert {id[0] for id in after.versions()} == {"b"}
    again = MemoryStage()
    async with running(replace(memory_worker(again), by_model=True), settings):
        await publish(settings, products, [product("c", 1)])
        await eventually(lambda: len(again.stored) >= 1)
    assert again.versions() == {"c": 1}

    # The offsets were those of the first model: a second one reads everything.
    other = settings.model_copy(update={"model": "other"})
    await apply_topics(other, ["memory"])
    async with running(replace(memory_worker(second), by_model=True), other):
        await eventually(lambda: len(second.stored) == 41)


async def test_requests_that_the_release_before_has_left_are_passed_on_once(settings: WorkerSettings) -> None:
    former, published = settings.topics.former_relink, []
    admin = AIOKafkaAdminClient(**client_options(settings.kafka))
    await admin.start()
    await admin.create_topics([NewTopic(former, settings.kafka.partitions, 1)])
    await admin.close()
    await eventually(lambda: _exists(settings, former))

    async def publish_outputs(outputs: Any) -> None:
        published.extend(outputs)

    link = LinkSettings.model_validate(settings.model_dump())
    await publish(settings, former, [{"product_id": f"p{n}"} for n in range(3)], partition=0)
    await commit(settings, f"{settings.topic_prefix}link", TopicPartition(former, 0), 1)
    passing = FormerRequests(link, publish_outputs)
    for expected in (["p1", "p2"], []):
        published.clear()
        await passing.pass_on()
        assert [output.key.decode() for output in published] == expected
        assert {output.topic for output in published} <= {f"{former}.{settings.model}"}
    # Workers and commands of the release before still write.
    await publish(settings, former, [{"product_id": "late"}], partition=0)
    await passing.pass_on()
    assert [output.key for output in published] == [b"late"]


async def _exists(settings: WorkerSettings, topic: str) -> bool:
    consumer = AIOKafkaConsumer(**client_options(settings.kafka))
    await consumer.start()
    try:
        return topic in await consumer.topics()
    finally:
        await consumer.stop()


async def commit(settings: WorkerSettings, group: str, partition: TopicPartition, offset: int) -> None:
    consumer = AIOKafkaConsumer(**client_options(settings.kafka), group_id=group, enable_auto_commit=False)
    consumer.assign([partition])
    await consumer.start()
    await consumer.commit({partition: offset})
    await consumer.stop()
