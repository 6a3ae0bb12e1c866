"""Removes the rows of letters that have left their topic: nobody can read, replay or edit them any more."""

import asyncio

import structlog
from aiokafka.errors import KafkaError

from headrace_clients.consumer_groups import open_clients
from headrace_letters.index import LetterIndex
from headrace_runtime.decoder import Position
from headrace_worker.settings import KafkaSettings
from headrace_worker.stage import Unavailable

log = structlog.get_logger(__name__)

EVERY_SECONDS = 600.0


async def remove_expired_regularly(index: LetterIndex, settings: KafkaSettings) -> None:
    """Removes expired rows now and every EVERY_SECONDS, until it is cancelled."""
    while True:
        try:
            if removed := await remove_expired(index, settings):
                log.info("expired_letters_removed", letters=removed)
        except (Unavailable, KafkaError, OSError) as error:
            log.warning("expired_letters_not_removed", raised=type(error).__name__)
        await asyncio.sleep(EVERY_SECONDS)


async def remove_expired(index: LetterIndex, settings: KafkaSettings) -> int:
    """Removes the rows below the first offset of their partition; returns how many.

    The rows of a topic that does not exist stay, because the settings may name another cluster. Raises Unavailable,
    KafkaError, OSError.
    """
    partitions = await index.partitions()
    removed = 0
    async with open_clients(settings) as (consumer, admin):
        described = await admin.describe_topics(sorted({topic for topic, _ in partitions})) if partitions else []
        existing = {(one["topic"], part["partition"]) for one in described for part in one["partitions"]}
        known = [at for at in partitions if tuple(at) in existing]
        starts = await consumer.beginning_offsets(known) if known else {}
    for (topic, partition), first in starts.items():
        while part := await index.remove_before(Position(topic, partition, first)):
            removed += part
    return removed
