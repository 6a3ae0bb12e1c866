"""Each worker stays below its memory limit while it reads 1,000 records of the largest size, on real servers.

`python -m pytest -s tests/integration/test_worker_memory.py` prints the largest resident memory of each, in MiB.
"""

import asyncio
import json
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from harness.forked_command import inherited
from harness.processes import WorkerProcess
from harness.records import eventually, product, publish, receipts
from harness.servers import SERVERS, Servers

from headrace_cli.kafka_topics import apply_topics
from headrace_worker.settings import ENV_PREFIX, WorkerSettings

pytestmark = [pytest.mark.servers, pytest.mark.alone, pytest.mark.long]

RECORDS = 1000
MULTILINGUAL_RECORDS = 28
SMALL_RECORDS_MIB = {"embed": 277, "elasticsearch": 143, "qdrant": 153, "pgvector": 91}
"""Largest resident memory with records of usual size (docs/benchmarks.md). The order is that of the pipeline: the later
workers read what embed publishes."""
COPIES = 8
"""How often a worker may have the values of one poll in memory: as Kafka's client read them, decoded, and as the text
and the bytes of requests, each a second time if the last poll's are not returned to the system yet. Measured: 4 to 6.
"""
WORKER_WITHIN = 900.0


def largest(settings: WorkerSettings, count: int = RECORDS) -> Iterator[dict[str, Any]]:
    """Records of the largest size. Each has its own text, which is small when it is compressed."""
    words = " ".join(f"word{number % 997}" for number in range(settings.kafka.max_record_bytes // 7))
    for number in range(count):
        record = product(f"p{number}", 1, description="")
        room = settings.kafka.max_record_bytes - len(json.dumps(record))
        yield record | {"description": f"{number} {words}"[:room]}


async def test_every_worker_stays_below_its_limit_with_records_of_the_largest_size(
    servers: Servers, tmp_path: Path
) -> None:
    variables = {"TOPIC_PREFIX": f"m{uuid.uuid4().hex[:8]}.", "NAMESPACE": f"m{uuid.uuid4().hex[:8]}"}
    settings = servers.settings(WorkerSettings, *SERVERS, **variables)
    environment = {**servers.need(*SERVERS), **{ENV_PREFIX + name: value for name, value in variables.items()}}
    await apply_topics(settings, list(SMALL_RECORDS_MIB))
    prepare = [sys.executable, "-m", "headrace_cli", "stores", "apply"]
    await asyncio.to_thread(subprocess.run, prepare, env=inherited() | environment, check=True)
    topic = settings.topics.source("product")
    await publish(settings, topic, largest(settings), compression_type="gzip", max_request_size=2**26)

    peaks = {}
    for name in SMALL_RECORDS_MIB:
        peaks[name] = await peak_mib(WorkerProcess(name, environment, tmp_path, forked=False), settings, RECORDS)
    of_values = COPIES * settings.batch.max_bytes / 2**20
    assert {name: peak for name, peak in peaks.items() if peak > SMALL_RECORDS_MIB[name] + of_values} == {}


async def test_embed_with_the_multilingual_model_stays_below_800_mb(servers: Servers, tmp_path: Path) -> None:
    """Its tokenizer has 250,000 pieces. The cache of models is empty, so the peak is that of a first start."""
    variables = {"TOPIC_PREFIX": f"m{uuid.uuid4().hex[:8]}.", "MODEL": "multilingual-e5-small-q4"}
    settings = servers.settings(WorkerSettings, "kafka", **variables)
    environment = {**servers.need("kafka"), **{ENV_PREFIX + name: value for name, value in variables.items()}}
    await apply_topics(settings, ["embed"])
    rows = largest(settings, MULTILINGUAL_RECORDS)
    await publish(settings, settings.topics.source("product"), rows, compression_type="gzip", max_request_size=2**26)
    environment |= {"XDG_CACHE_HOME": str(tmp_path / "cache")}
    worker = WorkerProcess("embed", environment, tmp_path, forked=False)
    peak = await peak_mib(worker, settings, MULTILINGUAL_RECORDS)
    assert peak * 2**20 < 800e6


async def peak_mib(worker: WorkerProcess, settings: WorkerSettings, records: int) -> float:
    """The largest resident memory of the worker, which applies so many records and stops."""
    worker.start()

    async def reported() -> bool:
        return len(await receipts(settings, worker.name)) == records

    try:
        await eventually(reported, within=WORKER_WITHIN)
        peak = worker.peak_mib
        print(f"{worker.name} with {settings.model}: {peak:.0f}")
        assert {one.outcome for one in (await receipts(settings, worker.name)).values()} == {"applied"}
        assert worker.stop() == 0
        return peak
    finally:
        worker.end()
