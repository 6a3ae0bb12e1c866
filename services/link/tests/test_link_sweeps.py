"""A sweep requests every product, is repeated after a crash, and waits for keywords on their way."""

import uuid
from collections.abc import Sequence

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from harness.link_consumer import Died
from harness.linking import Linking

from headrace_clients.kafka import client_options, producer
from headrace_clients.qdrant import point_id
from headrace_link import records, sweeps
from headrace_link.backlog import Backlog
from headrace_link.log_ends import LogEnds
from headrace_link.sweeps import bounds
from headrace_worker.stage import Output, Unavailable

pytestmark = pytest.mark.asyncio(loop_scope="module")

PRODUCTS = {f"p{number}": (1.0, number / 50, 0.0, 0.0) for number in range(50)}


@pytest.mark.parametrize("parts", [1, 2, 3, 7, 256])
async def test_every_product_is_in_exactly_one_part(parts: int) -> None:
    edges = [bounds(part, parts) for part in range(parts)]
    assert str(edges[0][0]) == "00000000-0000-0000-0000-000000000000"
    for number in range(500):
        id = uuid.UUID(point_id(f"p{number}"))
        assert sum(first <= id and (beyond is None or id < beyond) for first, beyond in edges) == 1


@pytest.mark.parametrize("part_size", [1000, 20], ids=["whole", "in parts"])
async def test_a_sweep_requests_every_live_product_and_every_set_of_a_product_that_is_gone(
    linking: Linking, monkeypatch: pytest.MonkeyPatch, part_size: int
) -> None:
    monkeypatch.setattr(sweeps, "PART", part_size)
    await linking.put_many("product", PRODUCTS)
    await linking.drain()
    await linking.lose_receipts(linking.put("keyword", "near", (1, 0, 0, 0)))
    await linking.lose_receipts(linking.delete("product", "p1"))
    await linking.lose_receipts(linking.put("product", "unheard", (1, 0, 0, 0)))
    linking.consumer.forget()
    await linking.sweep()
    await linking.drain()
    assert sorted(linking.consumer.points.opened) == sorted([*PRODUCTS, "unheard"])
    await linking.check()


@pytest.mark.parametrize("published", [0, 17, 50])
async def test_a_sweep_that_dies_after_any_number_of_requests_is_repeated(linking: Linking, published: int) -> None:
    await linking.put_many("product", PRODUCTS)
    await linking.drain()
    await linking.lose_receipts(linking.put("keyword", "near", (1, 0, 0, 0)))
    await linking.sweep()
    dying = linking.new_consumer()

    async def some_of(outputs: Sequence[Output]) -> None:
        await linking.publish(outputs[:published])
        raise Died

    dying.publisher.send = some_of
    with pytest.raises(Died):
        await dying.work()
    await linking.drain()
    await linking.check()


async def test_a_sweep_that_could_not_be_published_is_tried_again(linking: Linking) -> None:
    """The same consumer tries again, and must not skip a sweep that it could not publish."""
    await linking.put_many("product", PRODUCTS)
    await linking.drain()
    await linking.lose_receipts(linking.put("keyword", "near", (1, 0, 0, 0)))
    await linking.sweep()
    publisher = linking.consumer.publisher
    send = publisher.send

    async def down(outputs: Sequence[Output]) -> None:
        publisher.send = send
        raise Unavailable("kafka", "is down")

    publisher.send = down
    with pytest.raises(Unavailable):
        await linking.consumer.work()
    await linking.drain()
    await linking.check()


async def test_keywords_are_on_their_way_until_the_receipt_of_the_last_one_was_read(linking: Linking) -> None:
    settings = linking.settings
    topics, prefix = settings.topics, settings.topic_prefix
    ends = LogEnds(settings.kafka)
    client = producer(settings.kafka)
    await client.start()
    try:
        backlog = Backlog(ends, settings)
        assert await backlog.empty()
        ways = {
            f"embed.{settings.model}": topics.source("keyword"),
            "qdrant": topics.embedded("keyword", settings.model),
            f"link.{settings.model}.receipts": topics.receipts,
        }
        for group, topic in ways.items():
            await client.send_and_wait(topic, b"{}", key=b"k")
            assert not await backlog.empty()
            await _commit(linking, f"{prefix}{group}", topic)
            assert await backlog.empty()
    finally:
        await client.stop()
        await ends.close()


async def _commit(linking: Linking, group: str, topic: str) -> None:
    """Commits the end of the topic for the group."""
    consumer = AIOKafkaConsumer(**client_options(linking.settings.kafka), group_id=group, enable_auto_commit=False)
    await consumer.start()
    try:
        partition = TopicPartition(topic, 0)
        consumer.assign([partition])
        await consumer.commit(await consumer.end_offsets([partition]))
    finally:
        await consumer.stop()


async def test_requests_that_expired_unread_cause_a_sweep(linking: Linking) -> None:
    topic = linking.settings.topics.relink_bulk
    assert list(linking.receipt_stage.after_expiry()) == [records.sweep(topic)]
    # Some of the requests may have been explicit.
    assert list(linking.consumer.stage.after_expiry()) == [records.sweep(topic, republish=True)]
