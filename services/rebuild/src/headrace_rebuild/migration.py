"""Another embedding model, beside the one that is served: its workers read the same topics into objects of their own.

Nothing of two models mixes: the topics with vectors, the requests for links, the consumer groups of `embed` and `link`,
and the objects in the stores are named by model, and a store ignores the link sets of another model.
"""

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import asynccontextmanager
from typing import Any

from aiokafka import TopicPartition

from headrace_clients.consumer_groups import committed_offsets, open_clients, unread
from headrace_clients.group_lag import ConsumerGroup, installed_groups
from headrace_clients.topic_reader import partitions_of
from headrace_expected.differences import Finding
from headrace_rebuild.comparison import differences, letters_of
from headrace_rebuild.feed import begin_anew
from headrace_rebuild.target_stage import EMBED, takes_vectors
from headrace_schemas.topics import SOURCE_NAMES
from headrace_worker.opened_stores import opened, workers
from headrace_worker.settings import CommonSettings
from headrace_worker.store import ServesModel
from headrace_worker.worker import Worker, group_of_model

LOOK_SECONDS = 0.5
Say = Callable[[str], None]


class NotReady(Exception):
    """The workers of the model have not read everything in time."""


def choose(model: str) -> CommonSettings:
    """The settings of every worker are those of this model from now on, in this process."""
    os.environ |= {"HEADRACE_MODEL": model, "HEADRACE_GROUPS_BY_MODEL": "true"}
    return CommonSettings()


async def prepare() -> list[str]:
    """Creates the topics of the model and its objects in every store; safe to repeat. Raises Unavailable."""
    made = await asyncio.to_thread(_apply_topics)
    async with _stores() as stores:
        for store in stores.values():
            made += await store.prepare()
    return made


async def abort(settings: CommonSettings) -> list[str]:
    """Removes the objects of the model, and lets a later migration to it begin anew. Raises InUse, Unavailable."""
    removed: list[str] = []
    async with _stores() as stores:
        for store in stores.values():
            removed += await store.drop_model()
    sources = [settings.topics.source(kind) for kind in SOURCE_NAMES]
    await begin_anew(settings, group_of_model(settings, EMBED), sources)
    return removed


async def compare(settings: CommonSettings, seconds: float, say: Say) -> list[Finding]:
    """What is wrong in the stores with vectors, once they have read what was published before the call.

    Raises NotReady, Unavailable and what aiokafka raises.
    """
    upto = await _read_up_to(settings, seconds, say)
    say("compare")
    found: list[Finding] = []
    for worker in _with_vectors():
        assert worker.scan is not None
        scan = worker.scan(worker.settings())
        try:
            await scan.refresh()
            letters = await letters_of(settings, [worker.name, EMBED])
            found += await differences(settings, scan, upto, letters, settings.model)
        finally:
            await scan.close()
    return found


async def serve() -> list[str]:
    """Moves the public names of every store to the model. Raises Unavailable."""
    async with _stores() as stores:
        return [line for store in stores.values() for line in await store.serve()]


async def _read_up_to(settings: CommonSettings, seconds: float, say: Say) -> dict[TopicPartition, int]:
    """Waits until each level of topics is read up to its present end; returns the ends of the source topics."""
    topics, deadline = settings.topics, time.monotonic() + seconds
    sources = [topics.source(kind) for kind in SOURCE_NAMES]
    embedded = [topics.embedded(kind, settings.model) for kind in SOURCE_NAMES]
    levels = [sources, embedded, [topics.receipts], *[[topics.relink, topics.relink_bulk]] * 3, [topics.product_links]]
    names = ("source topics", "vectors", "receipts", *["requests for links"] * 3, "link sets")
    groups = [group for group in installed_groups(settings) if group.role != "letters"]
    upto: dict[TopicPartition, int] = {}
    async with open_clients(settings.kafka) as (consumer, admin):
        for level, name in zip(levels, names, strict=True):
            say(f"wait for the {name}")
            partitions = await partitions_of(settings.kafka, level)
            starts = await consumer.beginning_offsets(partitions)
            ends = await consumer.end_offsets(partitions)
            upto = upto or dict(ends)
            for group in _readers(groups, level):
                while left := sum(unread(starts, ends, await committed_offsets(admin, group.name)).values()):
                    if time.monotonic() > deadline:
                        raise NotReady(f"{group.name} has {left:,} records of {', '.join(level)} to read: does it run?")
                    await asyncio.sleep(LOOK_SECONDS)
    return upto


def _readers(groups: Sequence[ConsumerGroup], level: Collection[str]) -> list[ConsumerGroup]:
    return [group for group in groups if group.topics & frozenset(level)]


def _with_vectors() -> list[Worker]:
    return [one for one in workers() if one.scan is not None and takes_vectors(one, one.settings())]


@asynccontextmanager
async def _stores() -> AsyncIterator[dict[str, Any]]:
    """The stores that have objects of each model."""
    openers: dict[Worker, Callable[[Any], Any]] = {}
    for worker in workers():
        if opener := worker.store or worker.links:
            openers[worker] = opener
    async with opened(openers) as stores:
        yield {name: store for name, store in stores.items() if isinstance(store, ServesModel)}


def _apply_topics() -> list[str]:
    command = [sys.executable, "-m", "headrace_cli", "topics", "apply"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise NotReady(done.stderr.strip())
    return done.stdout.splitlines()
