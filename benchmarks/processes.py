"""Runs workers as processes, as an operator does."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager

COMMAND = (sys.executable, "-m", "headrace_cli")


async def headrace(*arguments: str, variables: Mapping[str, str]) -> None:
    """Runs a command to its end. Raises CalledProcessError, and prints what the command has printed, if it fails."""
    line = [*COMMAND, *arguments]
    done = await asyncio.to_thread(subprocess.run, line, env=dict(variables), stdout=subprocess.PIPE, text=True)
    if done.returncode:
        print(done.stdout)
    done.check_returncode()


@asynccontextmanager
async def working(
    workers: Sequence[str], variables: Mapping[str, str], ports: Mapping[str, int]
) -> AsyncIterator[dict[str, subprocess.Popen[bytes]]]:
    """Prepares the stores and runs these workers, each on its own HTTP port, until the block ends."""
    await headrace("stores", "apply", variables=variables)
    running: dict[str, subprocess.Popen[bytes]] = {}
    try:
        for name in workers:
            running[name] = _started(name, {**variables, "HEADRACE_HTTP__PORT": str(ports[name])})
        yield running
    finally:
        for process in running.values():
            process.terminate()
        for process in running.values():
            process.wait()


def _started(worker: str, variables: Mapping[str, str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen([*COMMAND, "work", worker], env=dict(variables))
