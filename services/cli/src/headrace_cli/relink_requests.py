"""Relink requests and sweeps: published, and followed until the link sets are published."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError
from pydantic import ValidationError

from headrace_cli.errors import WRONG_CALL, CommandError
from headrace_clients.completion import Missing, until_committed
from headrace_clients.kafka import producer
from headrace_clients.topic_graph import relink_levels
from headrace_schemas import headers
from headrace_schemas.links import RelinkRequest, Sweep
from headrace_worker.settings import CommonSettings

ACKNOWLEDGED_WITHIN = 60.0
"""Seconds. The client itself would retry without end."""


def requests_for(product_ids: Iterable[str]) -> list[RelinkRequest]:
    """One explicit request for each product. Raises CommandError for a text that cannot be an id."""
    requests = []
    for product_id in dict.fromkeys(product_ids):
        try:
            requests.append(RelinkRequest(product_id=product_id, republish=True))
        except ValidationError as error:
            (problem, *_) = error.errors(include_input=False, include_url=False)
            raise CommandError(f"{product_id[:80]!r} is no product id: {problem['msg']}", WRONG_CALL) from None
    return requests


async def publish_requests(settings: CommonSettings, records: Sequence[RelinkRequest] | Sequence[Sweep]) -> None:
    """Returns when Kafka has acknowledged all of them. Raises CommandError if it does not."""
    async with _open_producer(settings) as client:
        try:
            async with asyncio.timeout(ACKNOWLEDGED_WITHIN):
                await asyncio.gather(*[await _send(client, settings.topics.relink, record) for record in records])
        except (KafkaError, TimeoutError) as error:
            raise CommandError(
                f"Kafka does not acknowledge ({type(error).__name__}); check that it runs and ask again"
            ) from error


async def until_answered(settings: CommonSettings, timeout: float, on_progress: Callable[[int], None]) -> None:
    """Returns when the link sets of all requests up to now are computed and published.

    `on_progress` gets the number of requests that are left. Raises Incomplete after `timeout` seconds.
    """

    def count(missing: Sequence[Missing]) -> None:
        on_progress(sum(part.records for part in missing))

    await until_committed(settings, relink_levels(settings.topics), timeout, count)


async def _send(client: AIOKafkaProducer, topic: str, record: RelinkRequest | Sweep) -> Any:
    schema = headers.schema_pair(record)
    return await client.send(topic, record.model_dump_json().encode(), key=record.id.encode(), headers=[schema])


@asynccontextmanager
async def _open_producer(settings: CommonSettings) -> AsyncIterator[AIOKafkaProducer]:
    client = producer(settings.kafka)
    await client.start()
    try:
        yield client
    finally:
        await client.stop()
