"""Keeps one process for each worker running, and ends all of them when it ends."""

import asyncio
import contextlib
import ctypes
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

WRONG_SETTINGS = 2
"""The exit status of a worker that a restart does not help."""
LONGEST_LINE = 2**20
LAST_LINES_SECONDS = 1.0

Say = Callable[[str, str], None]
"""Gets a worker's name and a line of its output, or a line of the supervisor about it."""

_PR_SET_PDEATHSIG = 1


def worker_command(name: str, *options: str) -> list[str]:
    """The command line of the process that runs one worker."""
    return [sys.executable, "-m", "headrace_cli", "work", name, *options]


@dataclass(frozen=True, slots=True)
class Limits:
    """Times in seconds. `grace`: for a worker to finish its batch and commit.

    `first_pause`, `longest_pause`: before a restart; the pause doubles. `steady`: after a run of this length the pause
    is the first again.
    """

    grace: float = 10.0
    first_pause: float = 1.0
    longest_pause: float = 30.0
    steady: float = 60.0


class Supervisor:
    """`commands`: worker name to its command line. `environment`: the variables that a worker has in addition
    to those of this process.
    """

    def __init__(
        self,
        commands: Mapping[str, Sequence[str]],
        say: Say,
        environment: Callable[[str], Mapping[str, str]] = lambda name: {},
        limits: Limits = Limits(),
    ) -> None:
        self._commands = commands
        self._say = say
        self._environment = environment
        self._limits = limits
        self._stopping = asyncio.Event()
        self.restarts = dict.fromkeys(commands, 0)
        self.running: set[str] = set()

    def stop(self) -> None:
        """Makes `run` end. May be called from a signal handler."""
        self._stopping.set()

    async def run(self) -> int:
        """Runs every worker until `stop`, or until one has wrong settings. The exit status: 0, or that worker's 2.

        A worker that ends without a request is started again after a pause, which doubles from 1 s up to 30 s.
        """
        async with asyncio.TaskGroup() as group:
            kept = [group.create_task(self._keep(name)) for name in self._commands]
        return max((task.result() for task in kept), default=0)

    async def _keep(self, name: str) -> int:
        pause = self._limits.first_pause
        while not self._stopping.is_set():
            started = time.monotonic()
            status = await self._run_once(name)
            if self._stopping.is_set():
                break
            if status == WRONG_SETTINGS:
                self.stop()
                return status
            if time.monotonic() - started > self._limits.steady:
                pause = self._limits.first_pause
            self._say(name, f"ended with {_described(status)}; starts again in {pause:g} s")
            self.restarts[name] += 1
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), pause)
            pause = min(2 * pause, self._limits.longest_pause)
        return 0

    async def _run_once(self, name: str) -> int:
        process = await asyncio.create_subprocess_exec(
            *self._commands[name],
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            limit=LONGEST_LINE,
            env={**os.environ, "PYTHONUNBUFFERED": "1", **self._environment(name)},
            # A separate process group: Ctrl-C on a terminal reaches only the supervisor, which then ends the workers.
            process_group=0,
            preexec_fn=_end_with_parent(os.getpid()),
        )
        self.running.add(name)
        reading = asyncio.create_task(self._read(name, process))
        ended = asyncio.create_task(process.wait())
        stopping = asyncio.create_task(self._stopping.wait())
        try:
            await asyncio.wait([ended, stopping], return_when=asyncio.FIRST_COMPLETED)
        finally:
            self.running.discard(name)
            stopping.cancel()
            if await _end(process, self._limits.grace):
                self._say(name, f"did not end within {self._limits.grace:g} s and was killed")
            # A child process of the worker may keep its output open after the worker has ended.
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


async def _end(process: asyncio.subprocess.Process, grace: float) -> bool:
    """Asks the process to end and returns when it has; whether it had to be killed."""
    with contextlib.suppress(ProcessLookupError):
        process.terminate()
    try:
        await asyncio.wait_for(process.wait(), grace)
    except TimeoutError:
        process.kill()
        await process.wait()
        return True
    return False


def _described(status: int) -> str:
    return f"signal {signal.Signals(-status).name}" if status < 0 else f"status {status}"


def _end_with_parent(parent: int) -> Callable[[], None] | None:
    """For the new process to call first: it asks Linux for SIGTERM when its parent dies for any reason."""
    if sys.platform != "linux":
        return None
    prctl = ctypes.CDLL(None).prctl

    def ask() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:
            os._exit(1)

    return ask
