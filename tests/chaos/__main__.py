"""Chaos on real servers: a steady stream, and faults one after the other.

    python -m chaos [--minutes N] [--seed N] [--rate N] [--only TEXT] [--out FOLDER]

The report, its JSON and the picture are written to the folder; events.jsonl there has each fault and sample as soon as
it is known. The exit status is 1 if a store is wrong or a record is not accounted for.
"""

import argparse
import asyncio
import json
import logging
import shutil
import signal
import sys
import time
from pathlib import Path

from chaos.cluster import Cluster
from chaos.kinds import faults_of
from chaos.picture import picture
from chaos.report import as_json, as_text
from chaos.run import Run
from chaos.stream import Stream

PRODUCTS, KEYWORDS = 800, 150


def main() -> int:
    """The exit status."""
    parser = argparse.ArgumentParser(prog="make chaos ARGS=...", description="Chaos on real servers.")
    parser.add_argument("--minutes", type=float, default=30.0, help="how long faults are made; settling takes longer")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rate", type=float, default=5.0, help="records a second")
    parser.add_argument("--only", default="", help="only the faults whose name contains this text")
    parser.add_argument("--out", type=Path, default=Path(".headrace/chaos"), help="the folder of the report")
    chosen = parser.parse_args()
    # The client writes a line for each attempt to reach a broker that is down.
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    # So that an end by `kill` also stops the servers.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    folder: Path = chosen.out.absolute() / f"seed-{chosen.seed}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return asyncio.run(_run(folder, chosen.seed, 60 * chosen.minutes, chosen.rate, chosen.only))


async def _run(folder: Path, seed: int, seconds: float, rate: float, only: str) -> int:
    cluster = Cluster(folder)
    began = time.monotonic()
    try:
        await cluster.open()
        stream = Stream(cluster.settings, seed, rate=rate, products=PRODUCTS, keywords=KEYWORDS)
        run = Run(cluster, stream, seed, folder / "events.jsonl")
        print(f"everything runs after {time.monotonic() - began:.0f} s", flush=True)
        faults = {name: fault for name, fault in faults_of(cluster).items() if only in name}
        try:
            verdict = await run.go(seconds, faults)
        finally:
            shown = picture(run.samples, run.done, f"Chaos, seed {seed}: {len(run.done)} faults")
            await asyncio.to_thread((folder / "chaos.svg").write_text, shown)
            await stream.close()
        text = as_text(run, verdict, seconds, seed)
        found = json.dumps(as_json(run, verdict, seconds, seed), indent=1)
        await asyncio.to_thread((folder / "report.txt").write_text, text)
        await asyncio.to_thread((folder / "report.json").write_text, found)
        print(f"\n{text}\n{folder}/report.txt, report.json, chaos.svg, events.jsonl")
        return 0 if verdict.right else 1
    finally:
        await cluster.close()


if __name__ == "__main__":
    sys.exit(main())
