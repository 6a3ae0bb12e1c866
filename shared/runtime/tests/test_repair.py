"""A repair after records expired unread, published while a rebalance and a batch both ask for it."""

import asyncio
from collections.abc import Sequence

from aiokafka import TopicPartition

from headrace_runtime.assignment import Repair
from headrace_schemas.topics import Topics
from headrace_worker.stage import Output

TOPICS = Topics("headrace.")


class SlowBroker:
    """Acknowledges a publication when it is told to."""

    def __init__(self) -> None:
        self.started: list[Sequence[Output]] = []
        self.acknowledge = asyncio.Event()

    async def publish(self, records: Sequence[Output]) -> None:
        self.started.append(records)
        await self.acknowledge.wait()


def expired(partition: int) -> dict[TopicPartition, int]:
    return {TopicPartition(TOPICS.product_links, partition): 9}


async def test_a_batch_waits_for_the_repair_that_a_rebalance_is_publishing() -> None:
    broker = SlowBroker()
    repair = Repair(object(), TOPICS, broker.publish)
    rebalance = asyncio.create_task(repair.records_expired(expired(0)))
    await asyncio.sleep(0)
    batch = asyncio.create_task(repair.publish())
    await asyncio.wait([batch], timeout=0.01)
    assert not batch.done()
    broker.acknowledge.set()
    await asyncio.gather(rebalance, batch)
    assert len(broker.started) == 1
    assert not repair.due


async def test_records_that_expire_while_a_repair_is_published_are_repaired_too() -> None:
    broker = SlowBroker()
    repair = Repair(object(), TOPICS, broker.publish)
    first = asyncio.create_task(repair.records_expired(expired(0)))
    await asyncio.sleep(0)
    second = asyncio.create_task(repair.records_expired(expired(1)))
    await asyncio.sleep(0)
    broker.acknowledge.set()
    await asyncio.gather(first, second)
    asked = [record.value for records in broker.started for record in records]
    assert len(asked) == len(set(asked)) == 2
    assert not repair.due
