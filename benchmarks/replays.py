"""Compares a replay, followed to its last answer, with a script that publishes the letters again and waits for none."""

import asyncio
import json
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from aiokafka.structs import ConsumerRecord

from benchmarks.measurement import WITHIN, Comparison, compared
from benchmarks.runtime import Nothing
from benchmarks.topics import changes, fill_letters, fresh_topics
from headrace_cli.dead.reindex import reindex
from headrace_clients.kafka import producer
from headrace_clients.topic_reader import open_topics
from headrace_letters.index import LetterIndex
from headrace_letters.index_settings import IndexSettings
from headrace_letters.installed_stores import open_installed_stores
from headrace_letters.letter_reader import open_letter_reader
from headrace_letters.replay import replay
from headrace_letters.replay_progress import ReplayOptions
from headrace_letters.selection import Selection
from headrace_runtime.app import build
from headrace_runtime.dead_letters import dead_letter
from headrace_schemas import headers
from headrace_worker.settings import WorkerSettings
from headrace_worker.stage import Rejected
from headrace_worker.worker import load_worker

WORKER = "elasticsearch"


@asynccontextmanager
async def _opened(_: Any) -> AsyncIterator[Nothing]:
    yield Nothing()


async def run(settings: WorkerSettings, index_settings: IndexSettings, records: int) -> list[Comparison]:
    """Headrace reads each letter back, publishes it, marks it and waits for the answer of a worker without a store."""

    async def ours(_: int) -> float:
        fresh = await _with_letters(settings, records)
        own = index_settings.model_copy(update={"topic_prefix": fresh.topic_prefix})
        index = LetterIndex(own.postgres, own.names.schema)
        await index.prepare()
        await reindex(own, index, lambda read, of: None)
        installed = load_worker(WORKER)
        worker = replace(installed, stage=_opened)
        of_worker = installed.settings().model_copy(update={"topic_prefix": fresh.topic_prefix})
        chosen = Selection(worker=WORKER, since=datetime.fromtimestamp(time.time() - 3600, UTC), status=("waiting",))
        options = ReplayOptions(answer_within=WITHIN)
        try:
            async with (
                build(worker, of_worker).start_lifespan_context(),
                open_letter_reader(own.kafka) as reader,
                open_installed_stores(lambda one: of_worker if one.name == WORKER else one.settings()) as stores,
            ):
                began = time.perf_counter()
                async for progress in replay(index, reader, stores, own, chosen, options, actor="benchmark"):
                    last = progress
                seconds = time.perf_counter() - began
            assert last.resolved == records, last
            return records / seconds
        finally:
            await index.close()

    async def theirs(_: int) -> float:
        fresh = await _with_letters(settings, records)
        topic, sent = fresh.topics.replay(WORKER), []
        client = producer(fresh.kafka)
        await client.start()
        began = time.perf_counter()
        async with open_topics(fresh.kafka, [fresh.topics.dead(WORKER)]) as reader:
            async for letter in reader.until_now():
                kept = [(name, value) for name, value in letter.headers if not name.startswith("headrace-dead-reason")]
                sent.append(await client.send(topic, letter.value, key=letter.key, headers=kept))
        await asyncio.gather(*sent)
        seconds = time.perf_counter() - began
        await client.stop()
        assert len(sent) == records
        return records / seconds

    return [await compared("replay, followed to the end", "consume and produce again", 0.2, ours, theirs)]


async def _with_letters(settings: WorkerSettings, count: int) -> WorkerSettings:
    """Makes new topics with so many dead letters of the worker."""
    fresh = await fresh_topics(settings, WORKER)
    source, dead = fresh.topics.source("product"), fresh.topics.dead(WORKER)
    refused, now = Rejected("refused_by_store", "the mapping lacks a field", (WORKER, "mapping")), datetime.now(UTC)
    schema = ((headers.SCHEMA, b"product-change/1"),)
    letters = []
    for number, change in enumerate(changes(count, 1, uuid.uuid4().hex[:6])):
        key, value = change["product_id"].encode(), json.dumps(change).encode()
        at = int(now.timestamp() * 1000)
        record = ConsumerRecord(source, number % 6, number, at, 0, key, value, None, 0, 0, schema)
        letters.append(dead_letter(WORKER, dead, record, refused, now=now, max_bytes=2**20))
    await fill_letters(fresh, letters)
    return fresh
