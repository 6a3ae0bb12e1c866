"""The largest resident memory of each worker while it works, and of `headrace publish` over a large file."""

import asyncio
import json
import os
import subprocess
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.processes import COMMAND, headrace, working
from benchmarks.topics import SEED, changes, fill, fresh_topics
from headrace_cli.kafka_topics import apply_topics
from headrace_demo.catalogue.products import products
from headrace_local.ports import free_ports
from headrace_worker.settings import WorkerSettings
from headrace_worker.worker import rejecting_names, worker_names

LIMITS_MIB = {"embed": 600.0}
LIMIT_MIB = 250.0
GROWTH_MIB = 30.0


@dataclass(frozen=True)
class Peak:
    """Largest resident memory in MiB; for a file, how much of it came after the first tenth of the rows."""

    name: str
    mib: float
    limit: float

    def as_dict(self) -> dict[str, Any]:
        """JSON-able."""
        return asdict(self) | {"reached": self.mib <= self.limit}


async def workers(settings: WorkerSettings, environment: Mapping[str, str], records: int) -> list[Peak]:
    """Runs every worker as a process until each has read all records."""
    fresh = await fresh_topics(settings, "embed")
    names = worker_names()
    await apply_topics(fresh, rejecting_names())
    await fill(fresh, fresh.topics.source("product"), changes(records, 1, "m"))
    variables = {
        **os.environ,
        **environment,
        "HEADRACE_TOPIC_PREFIX": fresh.topic_prefix,
        "HEADRACE_LOG_LEVEL": "warning",
    }
    async with working(names, variables, dict(zip(names, free_ports(len(names)), strict=True))) as running:
        await headrace("wait", "--timeout", "600", variables=variables)
        return [
            Peak(f"worker {name}", peak_mib(process.pid), LIMITS_MIB.get(name, LIMIT_MIB))
            for name, process in running.items()
        ]


async def publishing(settings: WorkerSettings, environment: Mapping[str, str], file: Path, rows: int) -> Peak:
    """Returns the memory that `headrace publish` needs for the last nine tenths of a file, beyond the first tenth."""
    fresh = await fresh_topics(settings, "embed")
    with file.open("w") as lines:
        for row in products(SEED, rows):
            lines.write(json.dumps(row) + "\n")
    tenth = file.with_suffix(".tenth.jsonl")
    with file.open() as whole, tenth.open("w") as first:
        first.writelines(line for _, line in zip(range(rows // 10), whole, strict=False))
    variables = {**os.environ, **environment, "HEADRACE_TOPIC_PREFIX": fresh.topic_prefix}
    small = await asyncio.to_thread(_publish_peak, tenth, variables)
    large = await asyncio.to_thread(_publish_peak, file, variables)
    return Peak(f"publishing {rows:,} rows: growth over {rows // 10:,}", large - small, GROWTH_MIB)


def _publish_peak(file: Path, variables: Mapping[str, str]) -> float:
    command = [*COMMAND, "publish", str(file), "--kind", "product", "--json"]
    process = subprocess.Popen(command, env=dict(variables), stdout=subprocess.DEVNULL)
    peak = 0.0
    while process.poll() is None:
        peak = max(peak, peak_mib(process.pid))
        try:
            process.wait(0.2)
        except subprocess.TimeoutExpired:
            continue
    assert process.returncode == 0
    return peak


def peak_mib(pid: int) -> float:
    """Returns VmHWM of a process on Linux; 0 after the process has ended."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return 0.0
    found = [line.split()[1] for line in status.splitlines() if line.startswith("VmHWM")]
    return int(found[0]) / 1024 if found else 0.0
