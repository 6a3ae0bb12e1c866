"""Workers as processes, as an operator runs them."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager

COMMAND = (sys.executable, "-m", "headrace_cli")


async def headrace(*arguments: str, variables: Mapping[str, str]) -> None:
    """Runs a command to its end. Raises CalledProcessError if it fails."""
    await asyncio.to_thread(subprocess.run, [*COMMAND, *arguments], env=dict(variables), check=True)


@asynccontextmanager
async def working(
    workers: Sequence[str], variables: Mapping[str, str], ports: Mapping[str, int]
) -> AsyncIterator[dict[str, subprocess.Popen[bytes]]]:
    """The workers by their names, on stores that are prepared, each with its routes on its port; ended afterwards."""
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
