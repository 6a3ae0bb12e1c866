"""The readiness of workers, as /readyz of each answers over HTTP."""

import asyncio
import time
from collections.abc import Mapping

from headrace_cli.errors import CommandError
from headrace_local.ports import HOST

POLL_SECONDS = 0.1
ANSWER_SECONDS = 5.0


async def until_ready(ports: Mapping[str, int], timeout: float) -> None:
    """Returns when each worker (name to its HTTP port) is ready: it has partitions, and its store answers.

    Raises CommandError after `timeout` seconds, with the answer of the first that is not ready.
    """
    deadline = time.monotonic() + timeout
    for name, port in ports.items():
        while (status := await _status(port)) != 200:
            if time.monotonic() > deadline:
                problem = f"answers {status}" if status else "does not answer"
                raise CommandError(f"{name} is not ready after {timeout:.0f} s: /readyz {problem}")
            await asyncio.sleep(POLL_SECONDS)


async def _status(port: int) -> int | None:
    """The HTTP status of /readyz; None if nothing answers yet."""
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            reader, writer = await asyncio.open_connection(HOST, port)
            try:
                writer.write(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
                line = await reader.readline()
            finally:
                writer.close()
    except (OSError, TimeoutError):
        return None
    parts = line.split()
    return int(parts[1]) if len(parts) > 1 and parts[1].isdigit() else None
