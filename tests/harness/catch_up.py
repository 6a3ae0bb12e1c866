"""Waits until the pipeline has settled everything that was published up to a moment."""

import asyncio
import time
from collections.abc import Sequence

from headrace_link.log_ends import LogEnds
from headrace_worker.settings import CommonSettings
from headrace_worker.stage import Unavailable
from headrace_worker.worker import load_worker

POLL_SECONDS = 0.5

Wave = tuple[Sequence[str], Sequence[str]]
"""Workers, or `link.receipts` for the listener of link, and the topics that they read."""


def waves(settings: CommonSettings) -> list[Wave]:
    """In this order: a group reads what the groups before it have published."""
    topics = settings.topics
    sources = [topics.source("product"), topics.source("keyword")]
    embedded = [topics.embedded("product", settings.model), topics.embedded("keyword", settings.model)]
    return [
        (["embed", "elasticsearch"], sources),
        (["qdrant", "pgvector"], embedded),
        (["link.receipts", "dead_letters"], [topics.receipts]),
        (["link"], [topics.relink, topics.relink_bulk]),
        # A sweep publishes the requests of all products on a topic that its reader reads.
        (["link"], [topics.relink, topics.relink_bulk]),
        (["elasticsearch", "pgvector"], [topics.product_links]),
        (["dead_letters"], [topics.receipts]),
    ]


def group_of(settings: CommonSettings, name: str) -> str:
    """The consumer group of a worker, or of its listener."""
    worker = load_worker(name.partition(".")[0])
    return worker.listener_group(settings) if "." in name else worker.group(settings)


class CatchUp:
    """Follows the groups of one installation."""

    def __init__(self, settings: CommonSettings) -> None:
        self._settings = settings
        self._ends = LogEnds(settings.kafka)

    async def close(self) -> None:
        await self._ends.close()

    async def until_settled(self, within: float) -> float:
        """Seconds until everything that was published before the call is settled by every worker, and what follows from
        it too. Raises TimeoutError.
        """
        began = time.monotonic()
        async with asyncio.timeout(within):
            for groups, topics in waves(self._settings):
                await self._read(groups, topics)
        return time.monotonic() - began

    async def lag(self) -> dict[str, int] | None:
        """The records that each group has not committed; None if the brokers do not say."""
        read: dict[str, set[str]] = {}
        for groups, topics in waves(self._settings):
            for group in groups:
                read.setdefault(group, set()).update(topics)
        found: dict[str, int] = {}
        try:
            for group, of_group in read.items():
                ends = {end: offset for topic in of_group for end, offset in (await self._ends.of_topic(topic)).items()}
                found[group] = await self._ends.left(group_of(self._settings, group), ends)
        except Unavailable:
            return None
        return found

    async def published(self) -> int | None:
        """The records on the source topics; None if the brokers do not say."""
        _, sources = waves(self._settings)[0]
        try:
            return sum([sum((await self._ends.of_topic(topic)).values()) for topic in sources])
        except Unavailable:
            return None

    async def _read(self, groups: Sequence[str], topics: Sequence[str]) -> None:
        ends = None
        while True:
            try:
                if ends is None:
                    found = [await self._ends.of_topic(topic) for topic in topics]
                    ends = {partition: end for of_topic in found for partition, end in of_topic.items()}
                if not any([await self._ends.left(group_of(self._settings, group), ends) for group in groups]):
                    return
            except Unavailable:
                pass
            await asyncio.sleep(POLL_SECONDS)
