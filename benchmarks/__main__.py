"""`make bench`: starts servers, runs every comparison, prints a table and writes results/latest.json.

python -m benchmarks [--only PART,PART] [--scale 1.0]
"""

import argparse
import asyncio
import json
import logging
import os
import platform
import shutil
import tempfile
from pathlib import Path
from typing import Any

import structlog
from rich.console import Console
from rich.table import Table

from benchmarks import dead_letters, embeddings, links, memory, pages, replays, runtime, sinks, telemetry, verify
from benchmarks.measurement import Comparison, Figure
from headrace_letters.index_settings import IndexSettings
from headrace_local.stack import Stack
from headrace_worker.settings import WorkerSettings

RESULTS = Path(__file__).parent / "results"
PARTS = (
    "runtime",
    "telemetry",
    "qdrant",
    "elasticsearch",
    "pgvector",
    "embed",
    "link",
    "dead_letters",
    "replays",
    "pages",
    "verify",
    "memory",
)
Outcome = Comparison | Figure | memory.Peak | pages.Page


async def measured(part: str, scale: float, directory: Path, environment: dict[str, str]) -> list[Outcome]:
    """Returns the figures of one part. `scale` multiplies the number of records."""

    def records(full: int) -> int:
        return max(200, int(full * scale))

    common = WorkerSettings()
    match part:
        case "runtime":
            return [*await runtime.run(common, records(60_000))]
        case "telemetry":
            return [*await telemetry.run(common, records(40_000))]
        case "qdrant":
            return [*await sinks.qdrant(sinks.settings_of("qdrant"), records(10_000))]
        case "elasticsearch":
            return [*await sinks.elasticsearch(sinks.settings_of("elasticsearch"), records(20_000))]
        case "pgvector":
            return [*await sinks.pgvector(sinks.settings_of("pgvector"), records(4_000))]
        case "embed":
            return [*await embeddings.run(sinks.settings_of("embed"), records(1_000), directory / "vectors")]
        case "link":
            return [*await links.run(environment, records(20_000), records(2_000), changes=100)]
        case "dead_letters":
            return [*await dead_letters.run(sinks.settings_of("dead_letters"), records(100_000))]
        case "replays":
            return [*await replays.run(common, IndexSettings(), records(20_000))]
        case "pages":
            return [*await pages.run(IndexSettings(), environment, records(100_000))]
        case "verify":
            return [*await verify.run(common, environment, records(100_000))]
        case _:
            peaks = await memory.workers(common, environment, records(2_000))
            file = directory / "rows.jsonl"
            return [*peaks, await memory.publishing(common, environment, file, records(1_000_000))]


def table(outcomes: list[Outcome]) -> Table:
    """Prints the table."""
    made = Table("measured", "against", "ours", "theirs", "ratio or figure", "target", "reached")
    for outcome in outcomes:
        reached: bool | None
        if isinstance(outcome, Comparison):
            ours, theirs = (f"{sorted(rates)[len(rates) // 2]:,.0f}/s" for rates in (outcome.ours, outcome.theirs))
            reached = outcome.ratio >= outcome.target
            cells = [outcome.name, outcome.against, ours, theirs, f"{outcome.ratio:.2f}", f"≥ {outcome.target}"]
        elif isinstance(outcome, Figure):
            reached = None if outcome.target is None else outcome.value >= outcome.target
            target = "" if outcome.target is None else f"≥ {outcome.target:g}"
            cells = [outcome.name, "", "", "", f"{outcome.value:.3g} {outcome.unit}", target]
        elif isinstance(outcome, pages.Page):
            reached = outcome.slowest <= outcome.limit
            took = f"{outcome.median:.0f} ms, at most {outcome.slowest:.0f} ms"
            cells = [outcome.name, "", "", "", took, f"≤ {outcome.limit:.0f} ms"]
        else:
            reached = outcome.mib <= outcome.limit
            cells = [outcome.name, "", "", "", f"{outcome.mib:.0f} MiB", f"≤ {outcome.limit:.0f} MiB"]
        made.add_row(*cells, "" if reached is None else "yes" if reached else "no")
    return made


def main() -> None:
    """Measures, prints the table, and writes the results."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--only", default=",".join(PARTS), help="parts to measure, separated by commas")
    parser.add_argument("--scale", type=float, default=1.0, help="multiplies the number of records")
    options = parser.parse_args()
    logging.disable(logging.WARNING)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    directory = Path(tempfile.mkdtemp(prefix="headrace-bench-"))
    stack = Stack(directory / "stack")
    console = Console()
    try:
        environment = stack.up(lambda name, state, seconds: console.print(f"{name} {state} {seconds:.0f} s"))
        os.environ.update(environment)
        outcomes: list[Outcome] = []
        for part in options.only.split(","):
            console.print(f"measuring {part} …")
            outcomes += asyncio.run(measured(part, options.scale, directory, environment))
        console.print(table(outcomes))
        RESULTS.mkdir(exist_ok=True)
        machine = {"cpus": os.cpu_count(), "system": platform.platform(), "python": platform.python_version()}
        written: dict[str, Any] = {"machine": machine, "scale": options.scale}
        written["figures"] = [outcome.as_dict() for outcome in outcomes]
        (RESULTS / "latest.json").write_text(json.dumps(written, indent=2) + "\n")
    finally:
        stack.destroy()
        shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    main()
