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
SMALL_RECORDS_MIB = {"embed": 277, "elasticsearch": 143, "qdrant": 153, "pgvector": 91}
"""Largest resident memory with records of usual size (docs/benchmarks.md). The order is that of the pipeline: the later
workers read what embed publishes."""
COPIES = 8
"""How often a worker may have the values of one poll in memory: as Kafka's client read them, decoded, and as the text
and the bytes of requests, each a second time if the last poll's are not returned to the system yet. Measured: 4 to 6.
"""
WORKER_WITHIN = 900.0


def largest(settings: WorkerSettings) -> Iterator[dict[str, Any]]:
    """Records of the largest size. Each has its own text, which is small when it is compressed."""
    words = " ".join(f"word{number % 997}" for number in range(settings.kafka.max_record_bytes // 7))
    for number in range(RECORDS):
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

    peaks: dict[str, float] = {}
    for name in SMALL_RECORDS_MIB:
        worker = WorkerProcess(name, environment, tmp_path, forked=False)
        worker.start()

        async def reported(name: str = name) -> bool:
            return len(await receipts(settings, name)) == RECORDS

        try:
            await eventually(reported, within=WORKER_WITHIN)
            peaks[name] = worker.peak_mib
            outcomes = {receipt.outcome for receipt in (await receipts(settings, name)).values()}
            assert outcomes == {"applied"}
            assert worker.stop() == 0
        finally:
            worker.end()
    print({name: round(peak) for name, peak in peaks.items()})
    of_values = COPIES * settings.batch.max_bytes / 2**20
    assert {name: peak for name, peak in peaks.items() if peak > SMALL_RECORDS_MIB[name] + of_values} == {}
