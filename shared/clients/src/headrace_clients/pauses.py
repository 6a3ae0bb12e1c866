"""The topic by which workers are paused and resumed."""

from pydantic import ValidationError

from headrace_clients.kafka import producer
from headrace_clients.topic_reader import open_topics, partitions_of
from headrace_schemas.headers import schema_pair
from headrace_schemas.pauses import Pause
from headrace_worker.settings import CommonSettings


async def publish_pause(settings: CommonSettings, record: Pause) -> None:
    """Returns when the broker has acknowledged it. Raises UnknownTopic, and what aiokafka raises."""
    topic = settings.topics.pauses
    await partitions_of(settings.kafka, [topic])
    async with producer(settings.kafka) as client:
        value = record.model_dump_json().encode()
        await client.send_and_wait(topic, value, record.worker.encode(), headers=[schema_pair(record)])


async def current_pause(settings: CommonSettings, worker: str) -> Pause | None:
    """The pause of the worker; None if it is not paused. Raises UnknownTopic, and what aiokafka raises."""
    newest: Pause | None = None
    async with open_topics(settings.kafka, [settings.topics.pauses]) as reader:
        async for record in reader.until_now():
            if record.key == worker.encode():
                try:
                    newest = Pause.model_validate_json(record.value or b"")
                except ValidationError:
                    continue
    return newest if newest is not None and newest.paused else None
