"""Which records that `link` has not settled ask for the links of one product."""

from datetime import UTC, datetime
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer

from headrace_clients.group_lag import ConsumerGroup
from headrace_clients.kafka import client_options
from headrace_clients.topic_reader import partitions_of
from headrace_letters import link_requests as module
from headrace_letters.index_settings import IndexSettings
from headrace_letters.link_requests import LinkRequests, link_requests
from headrace_runtime.publisher import Outgoing, Publisher
from headrace_schemas.headers import schema_pair
from headrace_schemas.links import RelinkRequest, Sweep
from headrace_schemas.receipts import Receipt, Receipts

pytestmark = pytest.mark.servers


def receipts(topic: str, worker: str, id: str, outcome: Any = "applied", kind: Any = "product") -> Outgoing:
    of_one = Receipt(topic="t", partition=0, offset=0, outcome=outcome, kind=kind, id=id, version=1)
    batch = Receipts(worker=worker, applied_at=datetime.now(UTC), receipts=[of_one])
    return Outgoing(topic, None, batch.model_dump_json().encode(), [schema_pair(Receipts)])


async def test_only_what_is_unread_and_asks_for_the_links_of_the_product_counts(
    settings: IndexSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    topics, prefix = settings.topics, settings.topic_prefix
    stage = ConsumerGroup("link", f"{prefix}link", frozenset({topics.relink, topics.relink_bulk}))
    listener = ConsumerGroup("link", f"{prefix}link.receipts", frozenset({topics.receipts}), role="listener")
    publisher = Publisher(settings.kafka)

    async def open_requests() -> LinkRequests:
        return await link_requests(settings, [stage, listener], "qdrant", "p1")

    def asked(id: str) -> Outgoing:
        return Outgoing(topics.relink, id.encode(), f'{{"product_id": "{id}"}}'.encode(), [schema_pair(RelinkRequest)])

    assert await open_requests() == LinkRequests(0, 0)
    others = [asked(f"q{number}") for number in range(50)]
    others += [receipts(topics.receipts, "qdrant", "p2"), receipts(topics.receipts, "qdrant", "p1", "superseded")]
    others += [receipts(topics.receipts, "pgvector", "p1"), receipts(topics.receipts, "qdrant", "p1", kind="keyword")]
    await publisher.publish(others)
    assert await open_requests() == LinkRequests(54, 0)

    sweep = Outgoing(topics.relink_bulk, b"sweep", b'{"sweep": true}', [schema_pair(Sweep)])
    await publisher.publish([asked("p1"), sweep, receipts(topics.receipts, "qdrant", "p1")])
    assert await open_requests() == LinkRequests(57, 3)
    with monkeypatch.context() as patch:
        patch.setattr(module, "MOST_UNREAD", 56)
        assert await open_requests() == LinkRequests(57, None)

    for group in (stage, listener):
        consumer = AIOKafkaConsumer(**client_options(settings.kafka), group_id=group.name)
        await consumer.start()
        partitions = await partitions_of(settings.kafka, group.topics)
        consumer.assign(partitions)
        await consumer.commit(await consumer.end_offsets(partitions))
        await consumer.stop()
    assert await open_requests() == LinkRequests(0, 0)
    await publisher.publish([asked("p1")])
    assert await open_requests() == LinkRequests(1, 1)
    await publisher.close()
