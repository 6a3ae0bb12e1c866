"""The outcomes of replays, from the receipts that workers write."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NamedTuple

from aiokafka import AIOKafkaConsumer
from pydantic import ValidationError

from headrace_clients.kafka import consumer_options
from headrace_clients.topic_reader import partitions_of
from headrace_schemas.receipts import ReceiptOutcome, Receipts
from headrace_worker.settings import CommonSettings

MARK = b'"replay_of"'
"""Most receipts answer no replay. Only records with these bytes are parsed."""


class ReplayAnswer(NamedTuple):
    """What a worker reports about one replay."""

    dead_id: str
    attempt: int
    outcome: ReceiptOutcome


class ReplayAnswers:
    """The receipts that are published after it was opened."""

    def __init__(self, consumer: AIOKafkaConsumer) -> None:
        self._consumer = consumer

    async def new(self, wait: float) -> list[ReplayAnswer]:
        """The answers since the last call; [] after `wait` seconds without a record."""
        polled = await self._consumer.getmany(timeout_ms=int(wait * 1000))
        return [answer for records in polled.values() for record in records for answer in answers_in(record.value)]


@asynccontextmanager
async def open_replay_answers(settings: CommonSettings) -> AsyncIterator[ReplayAnswers]:
    """The answers that are published from now on. Raises UnknownTopic, KafkaError."""
    partitions = await partitions_of(settings.kafka, [settings.topics.receipts])
    consumer = AIOKafkaConsumer(**consumer_options(settings.kafka))
    consumer.assign(partitions)
    try:
        await consumer.start()
        await consumer.seek_to_end()
        for partition in consumer.assignment():
            await consumer.position(partition)
        yield ReplayAnswers(consumer)
    finally:
        await consumer.stop()


def answers_in(value: bytes | None) -> list[ReplayAnswer]:
    """The answers among the receipts of a record; [] if the record contains no receipts."""
    if value is None or MARK not in value:
        return []
    try:
        batch = Receipts.model_validate_json(value)
    except ValidationError:
        return []
    return [
        ReplayAnswer(receipt.replay_of, receipt.attempt or 0, receipt.outcome)
        for receipt in batch.receipts
        if receipt.replay_of is not None
    ]
