"""Runs random histories on real stores, and continues where the last run of the seed ended.

    python -m histories [--count N] [--seed N] [--fresh] [--run FILE]

The results are kept in .headrace/histories, a line for each group. The exit status is 1 if a history failed. It is then
made as small as possible, printed, and stored in a file for `--run`.
"""

import argparse
import asyncio
import signal
import sys
import tempfile
from pathlib import Path

from harness.servers import Servers

from histories.execution import SERVER_OF
from histories.generator import history
from histories.results import Results
from histories.run import Runner
from histories.steps import History, from_json, printed, to_json
from histories.workers import open_workers

GROUP = 250
SHRUNK = 3
"""Failures of a run that are made smaller; the others are counted."""
KEPT = Path(".headrace/histories")


def main() -> int:
    """The exit status."""
    parser = argparse.ArgumentParser(prog="make histories ARGS=...", description="Random histories on real stores.")
    parser.add_argument("--count", type=int, default=1000, help="histories in all, those of earlier runs included")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--fresh", action="store_true", help="forget the results of earlier runs of this seed")
    parser.add_argument("--run", type=Path, help="a file with one history, which runs several times")
    chosen = parser.parse_args()
    # So that an end by `kill` also stops the servers.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    with tempfile.TemporaryDirectory(prefix="headrace-histories-") as directory:
        servers = Servers(Path(directory) / "stack")
        try:
            if chosen.run is not None:
                return asyncio.run(_run_one(servers, from_json(chosen.run.read_text())))
            results = Results(KEPT, chosen.seed, fresh=chosen.fresh)
            return asyncio.run(_run_all(servers, results, chosen.seed, chosen.count))
        finally:
            servers.destroy()


async def _run_all(servers: Servers, results: Results, seed: int, count: int) -> int:
    print(results.summary() or f"seed {seed}: no earlier results", flush=True)
    async with open_workers(servers, refused := set[tuple[str, str, int]]()) as workers:
        runner = Runner(workers, refused, servers)
        for first in range(0, count, GROUP):
            numbers = range(first, min(first + GROUP, count))
            if results.has(numbers):
                continue
            histories = [history(seed, number) for number in numbers]
            # Each store in turn, and now and then all of them.
            killed = [name for place, name in enumerate(SERVER_OF) if first // GROUP % 6 in (place, 5)]
            result = await runner.run(histories, f"{seed}:{first}", killed)
            results.add(numbers, result, killed)
            print(results.summary(), flush=True)
            for place in list(result.failed)[: SHRUNK - results.shrunk]:
                results.shrunk += 1
                await _explain(
                    runner, histories[place], KEPT / f"failed-{seed}-{first + place}.json", result.failed[place]
                )
    return 1 if results.failed else 0


async def _run_one(servers: Servers, one: History) -> int:
    async with open_workers(servers, refused := set[tuple[str, str, int]]()) as workers:
        result = await Runner(workers, refused, servers).run([one] * 10, "again")
    print(printed(one))
    print(f"{len(result.failed)} of {result.histories} runs failed")
    for said in list(result.failed.values())[:1]:
        print("\n".join(said))
    return 1 if result.failed else 0


async def _explain(runner: Runner, failing: History, file: Path, said: list[str]) -> None:
    small, found = await runner.smallest(failing)
    await asyncio.to_thread(file.write_text, to_json(small))
    print(f"\nA history fails:\n{printed(small)}\n" + "\n".join(found or said))
    if not found:
        print("It does not fail again alone: a race, or a fault of the whole group.")
    print(f'Run it again: make histories ARGS="--run {file}"\n', flush=True)


if __name__ == "__main__":
    sys.exit(main())
