"""Makes and publishes records, and reads topics from their beginning."""

import asyncio
import json
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition

from headrace_clients.kafka import consumer_options, producer
from headrace_schemas.receipts import Receipt, Receipts
from headrace_worker.settings import CommonSettings


def product(product_id: str, version: int, **fields: Any) -> dict[str, Any]:
    """Makes an upsert of a product. It is valid unless `fields` make it invalid."""
    return {
        "op": "upsert",
        "product_id": product_id,
        "version": version,
        "occurred_at": datetime.now(UTC).isoformat(),
        "title": f"{product_id} at version {version}",
    } | fields


def keyword(keyword_id: str, version: int) -> dict[str, Any]:
    """Makes an upsert of a keyword."""
    now = datetime.now(UTC).isoformat()
    return {"op": "upsert", "keyword_id": keyword_id, "version": version, "occurred_at": now, "text": keyword_id}


def delete(product_id: str, version: int) -> dict[str, Any]:
    """Makes a delete of a product."""
    now = datetime.now(UTC).isoformat()
    return {"op": "delete", "product_id": product_id, "version": version, "occurred_at": now}


async def publish(
    settings: CommonSettings, topic: str, records: Iterable[dict[str, Any] | bytes], **options: Any
) -> None:
    """Publishes changes with their id as key, and bytes as they are with the key `raw`. Returns when acknowledged."""
    partition = options.pop("partition", None)
    headers = options.pop("headers", None)
    client = producer(settings.kafka, **options)
    await client.start()
    try:
        sent = []
        for record in records:
            raw = isinstance(record, bytes)
            key = b"raw" if raw else str(record.get("product_id") or record.get("keyword_id")).encode()
            value = record if raw else json.dumps(record).encode()
            sent.append(await client.send(topic, value, key=key, partition=partition, headers=headers))
        await asyncio.gather(*sent)
    finally:
        await client.stop()


async def read_all(settings: CommonSettings, topic: str) -> list[Any]:
    """Every record that a topic contained at the time of the call, as aiokafka gives them."""
    # Without a group the consumer assigns all partitions of the topic to itself.
    consumer = AIOKafkaConsumer(topic, **consumer_options(settings.kafka), auto_offset_reset="earliest")
    await consumer.start()
    try:
        ends = await consumer.end_offsets(consumer.assignment())
        records: list[Any] = []
        while any([await consumer.position(partition) < end for partition, end in ends.items()]):
            for taken in (await consumer.getmany(timeout_ms=500)).values():
                records += taken
        return records
    finally:
        await consumer.stop()


class ReceiptReader:
    """Follows the receipts topic. Each call reads only new records."""

    def __init__(self, settings: CommonSettings) -> None:
        self._settings = settings
        self._consumer: AIOKafkaConsumer | None = None
        self._found: dict[str, dict[tuple[str, int, int], Receipt]] = {}

    async def of(self, worker: str) -> dict[tuple[str, int, int], Receipt]:
        """Returns every receipt of that worker so far, by topic, partition and offset. A redelivery counts once."""
        if self._consumer is None:
            self._consumer = AIOKafkaConsumer(**consumer_options(self._settings.kafka))
            await self._consumer.start()
            partitions = range(self._settings.kafka.partitions)
            self._consumer.assign([TopicPartition(self._settings.topics.receipts, number) for number in partitions])
            await self._consumer.seek_to_beginning()
        while taken := await self._consumer.getmany(timeout_ms=100):
            for record in (record for records in taken.values() for record in records):
                batch = Receipts.model_validate_json(record.value)
                of_worker = self._found.setdefault(batch.worker, {})
                of_worker |= {(receipt.topic, receipt.partition, receipt.offset): receipt for receipt in batch.receipts}
        return self._found.get(worker, {})

    async def published(self, topics: Iterable[str]) -> int:
        """Returns the number of records that were published to the topics."""
        assert self._consumer is not None
        partitions = [
            TopicPartition(topic, number) for topic in topics for number in range(self._settings.kafka.partitions)
        ]
        return sum((await self._consumer.end_offsets(partitions)).values())

    async def close(self) -> None:
        """Closes the connection."""
        if self._consumer is not None:
            await self._consumer.stop()


async def receipts(settings: CommonSettings, worker: str) -> dict[tuple[str, int, int], Receipt]:
    """Returns a worker's receipt of each record, by topic, partition and offset. A redelivery counts once."""
    found: dict[tuple[str, int, int], Receipt] = {}
    for record in await read_all(settings, settings.topics.receipts):
        batch = Receipts.model_validate_json(record.value)
        if batch.worker == worker:
            found |= {(receipt.topic, receipt.partition, receipt.offset): receipt for receipt in batch.receipts}
    return found


async def eventually(condition: Callable[[], Any], within: float = 30.0) -> None:
    """Waits until `condition()` is true; it may be awaitable. Raises AssertionError after `within` seconds."""
    deadline = asyncio.get_running_loop().time() + within
    while True:
        answer = condition()
        if asyncio.iscoroutine(answer):
            answer = await answer
        if answer:
            return
        if asyncio.get_running_loop().time() > deadline:
            raise AssertionError(f"was not true within {within} s")
        await asyncio.sleep(0.05)
