"""Keeps one process for each worker running, and ends all of them with itself."""

import asyncio
import contextlib
import ctypes
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence

GRACE_SECONDS = 10.0
"""How long a worker may take to finish its batch and commit."""
BACKOFF_FIRST, BACKOFF_MOST = 1.0, 30.0
STEADY_SECONDS = 60.0
"""A worker that ran for so long starts again without the back-off of earlier failures."""
WRONG_SETTINGS = 2
"""A worker's exit status that no restart would change."""
LONGEST_LINE = 2**20
LAST_LINES_SECONDS = 1.0

Say = Callable[[str, str], None]
"""Takes a worker's name and a line of its output, or a line of the supervisor's about it."""

_PR_SET_PDEATHSIG = 1


def worker_command(name: str, *options: str) -> list[str]:
    """The process that runs one worker."""
    return [sys.executable, "-m", "headrace_cli", "work", name, *options]


class Supervisor:
    """`commands`: worker name to its process. `environment`: a worker's variables beside this process's own."""

    def __init__(
        self,
        commands: Mapping[str, Sequence[str]],
        say: Say,
        environment: Callable[[str], Mapping[str, str]] = lambda name: {},
    ) -> None:
        self._commands = commands
        self._say = say
        self._environment = environment
        self._stopping = asyncio.Event()
        self.restarts = dict.fromkeys(commands, 0)

    def stop(self) -> None:
        """Lets `run` end; from a signal handler too."""
        self._stopping.set()

    async def run(self) -> int:
        """Runs every worker until `stop`, or until one has wrong settings. The exit status: 0, or that worker's 2.

        A worker that ends by itself is started again, after a pause that doubles from 1 s to 30 s.
        """
        async with asyncio.TaskGroup() as group:
            kept = [group.create_task(self._keep(name)) for name in self._commands]
        return max((task.result() for task in kept), default=0)

    async def _keep(self, name: str) -> int:
        pause = BACKOFF_FIRST
        while not self._stopping.is_set():
            started = time.monotonic()
            status = await self._run_once(name)
            if self._stopping.is_set():
                break
            if status == WRONG_SETTINGS:
                self.stop()
                return status
            if time.monotonic() - started > STEADY_SECONDS:
                pause = BACKOFF_FIRST
            self._say(name, f"ended with {_described(status)}; starts again in {pause:.0f} s")
            self.restarts[name] += 1
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), pause)
            pause = min(2 * pause, BACKOFF_MOST)
        return 0

    async def _run_once(self, name: str) -> int:
        process = await asyncio.create_subprocess_exec(
            *self._commands[name],
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            limit=LONGEST_LINE,
            env={**os.environ, "PYTHONUNBUFFERED": "1", **self._environment(name)},
            # A group of its own: Ctrl-C on a terminal reaches the supervisor alone, which then ends the workers.
            process_group=0,
            preexec_fn=_end_with_parent(os.getpid()),
        )
        reading = asyncio.create_task(self._read(name, process))
        ended = asyncio.create_task(process.wait())
        stopping = asyncio.create_task(self._stopping.wait())
        try:
            await asyncio.wait([ended, stopping], return_when=asyncio.FIRST_COMPLETED)
        finally:
            stopping.cancel()
            if await _end(process):
                self._say(name, f"did not end within {GRACE_SECONDS:.0f} s and was killed")
            # What it started itself may hold its output open for longer than it lived.
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(reading, LAST_LINES_SECONDS)
        return await ended

    async def _read(self, name: str, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None
        while True:
            try:
                line = await process.stdout.readline()
            except ValueError:
                line = b"(a line of more than 1 MiB)\n"
            if not line:
                return
            self._say(name, line.decode(errors="replace").rstrip("\n"))


async def _end(process: asyncio.subprocess.Process) -> bool:
    """Returns when the process has ended, which it is asked to; whether it had to be killed."""
    with contextlib.suppress(ProcessLookupError):
        process.terminate()
    try:
        await asyncio.wait_for(process.wait(), GRACE_SECONDS)
    except TimeoutError:
        process.kill()
        await process.wait()
        return True
    return False


def _described(status: int) -> str:
    return f"signal {signal.Signals(-status).name}" if status < 0 else f"status {status}"


def _end_with_parent(parent: int) -> Callable[[], None] | None:
    """What a new process does first: ask Linux for SIGTERM when its parent dies, however it dies."""
    if sys.platform != "linux":
        return None
    prctl = ctypes.CDLL(None).prctl

    def ask() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:
            os._exit(1)

    return ask
