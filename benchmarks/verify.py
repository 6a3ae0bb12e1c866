"""The comparison of a whole catalogue in three stores: its time, its memory, and the time to read the stores raw.

The stages fill the stores directly. The raw side reads every page of every store, with the vectors. There are no link
sets: `headrace verify` compares those of a catalogue in addition.
"""

import asyncio
import os
import subprocess
import sys
import time
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from aiokafka import AIOKafkaConsumer

from benchmarks.measurement import Figure
from benchmarks.memory import Peak
from benchmarks.topics import changes, embedded, fill, fresh_topics
from headrace_cli.kafka_topics import apply_topics
from headrace_clients.kafka import client_options
from headrace_clients.topic_reader import partitions_of
from headrace_schemas.changes import CHANGES
from headrace_schemas.digest import digest_of
from headrace_schemas.embedded import EMBEDDED
from headrace_worker.settings import WorkerSettings
from headrace_worker.worker import Worker, load_worker, rejecting_names

STORES = ("elasticsearch", "pgvector", "qdrant")
PART = 2000
FULL = 100_000
LIMIT_MIB, LIMIT_SECONDS = 300.0, 60.0


async def run(settings: WorkerSettings, environment: Mapping[str, str], entities: int) -> list[Figure | Peak]:
    """Fills topics and stores with products that agree, and compares them."""
    fresh = await fresh_topics(settings, "embed")
    await apply_topics(fresh, rejecting_names())
    namespace = f"b{uuid.uuid4().hex[:8]}"
    own = fresh.model_copy(update={"namespace": namespace})
    await _fill(own, entities)
    variables = {**environment, "HEADRACE_TOPIC_PREFIX": own.topic_prefix, "HEADRACE_NAMESPACE": namespace}
    raw = await _raw(own)
    seconds, mib = await asyncio.to_thread(_verify, variables)
    return [
        Figure(f"verify {entities:,} entities in three stores", entities / seconds, "entities/s", FULL / LIMIT_SECONDS),
        Figure("reading the stores raw / verify", raw / seconds, "of the time"),
        Peak(f"verify {entities:,} entities", mib, LIMIT_MIB),
    ]


async def _fill(settings: WorkerSettings, entities: int) -> None:
    rows = changes(entities, 1, uuid.uuid4().hex[:8])
    workers = {name: load_worker(name) for name in STORES}
    for worker in workers.values():
        assert worker.store is not None
        store = worker.store(_settings_of(worker, settings))
        await store.prepare()
        await store.close()
    for start in range(0, entities, PART):
        part = rows[start : start + PART]
        records = [CHANGES["product"].model_validate(row) for row in part]
        vectors = [
            row | {"digest": digest_of(record)}
            for row, record in zip(embedded(part, settings.model, 1), records, strict=True)
        ]
        await fill(settings, settings.topics.source("product"), part)
        await fill(settings, settings.topics.embedded("product", settings.model), vectors)
        with_vectors = [EMBEDDED["product"].model_validate(row) for row in vectors]
        await asyncio.gather(
            *(
                _apply(worker, settings, records if name == "elasticsearch" else with_vectors)
                for name, worker in workers.items()
            )
        )
    await _read_by(settings, *workers.values(), load_worker("embed"))


async def _apply(worker: Worker, settings: WorkerSettings, records: Sequence[Any]) -> None:
    assert worker.stage is not None
    async with worker.stage(_settings_of(worker, settings)) as stage:
        await stage.apply(records)


def _settings_of(worker: Worker, settings: WorkerSettings) -> Any:
    same = {"topic_prefix": settings.topic_prefix, "namespace": settings.namespace}
    return worker.settings().model_copy(update=same)


async def _read_by(settings: WorkerSettings, *workers: Worker) -> None:
    """Commits for workers that do not run that they have read all of their topics."""
    for worker in workers:
        own = _settings_of(worker, settings)
        consumer = AIOKafkaConsumer(**client_options(settings.kafka), group_id=worker.group(own))
        await consumer.start()
        partitions = await partitions_of(settings.kafka, worker.inputs(own))
        consumer.assign(partitions)
        await consumer.commit(await consumer.end_offsets(partitions))
        await consumer.stop()


async def _raw(settings: WorkerSettings) -> float:
    """The seconds that it takes to read every page of every store."""
    began = time.monotonic()
    for name in STORES:
        worker = load_worker(name)
        assert worker.scan is not None
        scan = worker.scan(_settings_of(worker, settings))
        await scan.refresh()
        async for _ in scan.pages("product"):
            pass
        await scan.close()
    return time.monotonic() - began


def _verify(variables: Mapping[str, str]) -> tuple[float, float]:
    """The seconds of a process that compares the stores, from its start, and its largest resident memory, MiB.

    Raises AssertionError if it finds a difference.
    """
    began = time.monotonic()
    line = [sys.executable, "-c", COMPARES]
    done = subprocess.run(line, env={**os.environ, **variables}, check=True, capture_output=True, text=True)
    seconds = time.monotonic() - began
    right, mib = done.stdout.split()[-2:]
    assert right == "True", done.stdout
    return seconds, float(mib)


COMPARES = """
import asyncio, os
from benchmarks.memory import peak_mib
from headrace_verify.compared_store import open_compared
from headrace_verify.comparison import compare
from headrace_verify.printout import print_text
from headrace_worker.settings import CommonSettings

async def main():
    settings = CommonSettings()
    async with open_compared(settings) as stores:
        return await compare(settings, stores)

report = asyncio.run(main())
print_text(report)
print(report.right, peak_mib(os.getpid()))
"""
