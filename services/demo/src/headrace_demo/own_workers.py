"""The workers of a demo with its own servers: all installed workers under a supervisor."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from headrace_cli.supervisor import Supervisor, worker_command
from headrace_demo.readiness import until_ready
from headrace_local.ports import free_ports
from headrace_worker.worker import worker_names

HTTP_PORT = "HEADRACE_HTTP__PORT"
READY_WITHIN = 120.0


@asynccontextmanager
async def own_workers(log: Path) -> AsyncIterator[None]:
    """Starts all workers, with their output in a file, and waits until they are ready. Stops them on exit.

    Raises CommandError if one does not become ready.
    """
    ports = dict(zip(names := worker_names(), free_ports(len(names)), strict=True))
    with log.open("w") as file:

        def write(name: str, line: str) -> None:
            file.write(f"{name} | {line}\n")
            file.flush()

        commands = {name: worker_command(name) for name in names}
        supervisor = Supervisor(commands, write, lambda name: {HTTP_PORT: str(ports[name])})
        running = asyncio.create_task(supervisor.run())
        try:
            await until_ready(ports, READY_WITHIN)
            yield
        finally:
            supervisor.stop()
            await running
