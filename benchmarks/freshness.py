"""`make bench-freshness`: how long until a change is applied, and until a search finds it, at half of the capacity.

python -m benchmarks.freshness [--minutes 10] [--rate 20] [--products 2000] [--plot FILE]
"""

import argparse
import asyncio
import itertools
import json
import logging
import os
import platform
import shutil
import tempfile
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import structlog
from rich.console import Console
from rich.table import Table

from benchmarks.catalogue_stream import WORDINGS, CatalogueStream
from benchmarks.delays import LINK, Delays, searchable, settled
from benchmarks.freshness_canary import measuring
from benchmarks.freshness_plot import plot
from benchmarks.processes import headrace, working
from headrace_canary.settings import CanarySettings
from headrace_cli.kafka_topics import apply_topics
from headrace_cli.source_producer import SourceProducer, SourceRecord, open_producer
from headrace_clients.topic_reader import TopicReader, open_topics
from headrace_demo.readiness import until_ready
from headrace_local.ports import free_ports
from headrace_local.stack import Stack
from headrace_worker.settings import CommonSettings
from headrace_worker.worker import rejecting_names, worker_names

RESULTS = Path(__file__).parent / "results"
FIRST_RATE, FASTER, STEP_SECONDS = 40.0, 1.3, 20.0
"""Of the measurement of the capacity: changes a second at first, and the factor from step to step."""
BEHIND = 0.2
"""The share of a step that the pipeline may need after its end: a slower pipeline has reached its capacity."""
SHARE = 0.5
REFRESH_SECONDS = 1.0
"""The refresh interval of Elasticsearch here. The other stores show what is committed."""
GOAL, LINKS_GOAL = REFRESH_SECONDS + 1, 3.0
"""Seconds: the goals for p99 until a search finds a change, in the slowest store."""
CANARY_INTERVAL = "1"
READY_WITHIN, SETTLED_WITHIN = 120.0, "900"
WIDTH = 96
"""Columns of the table."""


@dataclass(frozen=True)
class Run:
    """`capacity`, `rate`: changes a second; the capacity is None if it was not measured. `began`, `ended`: of the
    publication, seconds since 1970. `busy`: the share of all processors' time that was not idle.
    """

    capacity: float | None
    rate: float
    began: float
    ended: float
    busy: float
    delays: list[Delays]


async def measured(
    console: Console, variables: Mapping[str, str], minutes: float, products: int, rate: float | None
) -> Run:
    """Fills the stores, and measures the delays at `rate`; without a rate at `SHARE` of the capacity, which is measured
    before.
    """
    settings, names = CommonSettings(), worker_names()
    await apply_topics(settings, rejecting_names())
    ports = dict(zip(names, free_ports(len(names)), strict=True))
    stream = CatalogueStream(products, products // 4)
    async with working(names, variables, ports), open_producer(settings) as producer:
        await until_ready(ports, READY_WITHIN)
        async with open_topics(settings.kafka, [settings.topics.receipts]) as receipts:
            for wording in range(WORDINGS):
                console.print(f"embedding every text, {wording + 1} of {WORDINGS} …")
                await publish(producer, stream.warming(wording), None)
                await headrace("wait", "--timeout", SETTLED_WITHIN, "--json", variables=variables)
            capacity = None
            if rate is None:
                capacity = await capacity_of(producer, stream, receipts, variables)
                console.print(f"capacity: {capacity:,.0f} changes a second")
                rate = SHARE * capacity
            console.print(f"publishing {rate:,.0f} changes a second for {minutes:g} min …")
            async with measuring(CanarySettings()) as canary:
                began = time.time()
                busy = processor_seconds()
                await publish(producer, itertools.islice(stream.changes(), int(rate * minutes * 60)), rate)
                ended = time.time()
                used, total = (after - before for after, before in zip(processor_seconds(), busy, strict=True))
                await canary.until_shown(ended)
            await headrace("wait", "--timeout", SETTLED_WITHIN, "--json", variables=variables)
            applied = (await settled(receipts, began, ended)).applied
    delays = [found for (worker, _), found in sorted(applied.items()) if worker != LINK]
    delays += searchable(canary.seen_changes, began, ended, GOAL, LINKS_GOAL)
    return Run(capacity, rate, began, ended, used / total, delays)


async def capacity_of(
    producer: SourceProducer, stream: CatalogueStream, receipts: TopicReader, variables: Mapping[str, str]
) -> float:
    """Changes a second. Publishes at growing rates until the last change of a step, and the last link set that follows
    from it, is stored so long after the step that the pipeline cannot follow.
    """
    best, rate = 0.0, FIRST_RATE
    while True:
        changes, began = int(rate * STEP_SECONDS), time.time()
        await publish(producer, itertools.islice(stream.changes(), changes), rate)
        ended = time.time()
        await headrace("wait", "--timeout", SETTLED_WITHIN, "--json", variables=variables)
        last = (await settled(receipts, began, ended)).last
        best = max(best, changes / (last - began))
        if last - ended > BEHIND * STEP_SECONDS:
            return best
        rate *= FASTER


async def publish(producer: SourceProducer, records: Iterable[SourceRecord], rate: float | None) -> None:
    """Returns when all are acknowledged. `rate`: records a second, evenly; None: as fast as they can be sent."""
    began = time.monotonic()
    for number, record in enumerate(records):
        if rate is not None:
            await asyncio.sleep(began + number / rate - time.monotonic())
        await producer.publish(record)
    await producer.flush()


def processor_seconds() -> tuple[float, float]:
    """The time of all processors since the start of the machine, in ticks: not idle, and all of it. From proc(5)."""
    ticks = [int(one) for one in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
    return sum(ticks) - ticks[3] - ticks[4], sum(ticks)


def table(run: Run) -> Table:
    """Prints the delays."""
    made = Table("until", "in", "changes", "p50", "p95", "p99", "goal", "reached", title="Seconds from the publication")
    for delays in run.delays:
        cells = [f"{seconds:.2f}" for seconds in delays.percentiles()]
        goal = "" if delays.goal is None else f"≤ {delays.goal:g}"
        reached = {None: "", True: "yes", False: "no"}[delays.reached]
        made.add_row(delays.what, delays.store, f"{len(delays.seconds):,}", *cells, goal, reached)
    return made


def write_results(run: Run, minutes: float, products: int, picture: Path) -> None:
    """Writes the figures and the picture."""
    RESULTS.mkdir(exist_ok=True)
    machine = {"cpus": os.cpu_count(), "system": platform.platform(), "python": platform.python_version()}
    written = {
        "machine": machine,
        "minutes": minutes,
        "products": products,
        "capacity": run.capacity,
        "rate": run.rate,
        "busy": run.busy,
        "delays": [
            {"until": one.what, "store": one.store, "changes": len(one.seconds), "percentiles": one.percentiles()}
            for one in run.delays
        ],
    }
    (RESULTS / "freshness.json").write_text(json.dumps(written, indent=2) + "\n")
    measured_by_search = [one for one in run.delays if one.goal is not None]
    picture.write_text(plot(measured_by_search, run.began, run.ended))


@contextmanager
def servers(console: Console) -> Iterator[dict[str, str]]:
    """Servers on empty data, and this process's environment set to them, until the end of the block."""
    directory = Path(tempfile.mkdtemp(prefix="headrace-bench-"))
    stack = Stack(directory / "stack")
    try:
        environment = stack.up(lambda name, state, seconds: console.print(f"{name} {state} {seconds:.0f} s"))
        own = {
            "HEADRACE_TOPIC_PREFIX": f"bench-{uuid.uuid4().hex[:8]}.",
            "HEADRACE_CACHE_DIR": str(directory / "vectors"),
            "HEADRACE_CANARY__INTERVAL": CANARY_INTERVAL,
            "HEADRACE_LOG_LEVEL": "warning",
        }
        os.environ.update(environment | own)
        yield dict(os.environ)
    finally:
        stack.destroy()
        shutil.rmtree(directory, ignore_errors=True)


def main() -> None:
    """Measures, prints the table, and writes results/freshness.json and the picture."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.freshness", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0, help="how long changes are published")
    parser.add_argument("--rate", type=float, help="changes a second; default: half of the capacity, measured first")
    parser.add_argument("--products", type=int, default=2000, help="of the catalogue; a quarter as many keywords")
    parser.add_argument("--plot", type=Path, default=RESULTS / "freshness.svg", help="file of the picture")
    options = parser.parse_args()
    logging.disable(logging.WARNING)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    console = Console(width=max(Console().width, WIDTH))
    with servers(console) as variables:
        run = asyncio.run(measured(console, variables, options.minutes, options.products, options.rate))
    console.print(table(run))
    console.print(f"{run.rate:.0f} changes a second; the processors were {100 * run.busy:.0f} % busy")
    write_results(run, options.minutes, options.products, options.plot)


if __name__ == "__main__":
    main()
