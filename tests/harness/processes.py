"""Workers under test as processes of their own, so that they can be killed."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.forked_command import ForkedCommand, inherited

START_WITHIN = 120.0
"""Seconds. A process needs two on a machine that does nothing else."""
STOP_WITHIN = 10.0
"""Seconds that a supervisor waits before it sends SIGKILL."""


class WorkerProcess:
    """`headrace work NAME` with a log file. `copy` distinguishes a second process of the same worker.

    `forked`: whether the process has its imports from another one. Then its memory is not that of a worker.
    """

    def __init__(
        self, name: str, environment: Mapping[str, str], logs: Path, copy: str = "", *, forked: bool = True
    ) -> None:
        self.name = name
        self._forked = forked
        self._environment = environment
        self._log = logs / f"{name}{copy}.log"
        self._read_bytes = 0
        self._lines: list[dict[str, Any]] = []
        self._process: subprocess.Popen[bytes] | ForkedCommand | None = None

    def start(self) -> None:
        """Starts the process; returns at once."""
        if self._forked:
            self._process = ForkedCommand(("work", self.name), self._environment, self._log, self._log, Path.cwd())
            return
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "headrace_cli", "work", self.name],
                env=inherited() | dict(self._environment),
                stdout=log,
                stderr=log,
            )

    def kill(self) -> None:
        """Sends SIGKILL and returns once the process is gone. Raises AssertionError if anything else ended it."""
        assert self._process is not None
        self._process.send_signal(signal.SIGKILL)
        assert self._process.wait() == -signal.SIGKILL, f"{self.name} had ended before it was killed"

    def stop(self) -> int:
        """Sends SIGTERM and returns the exit status. Raises TimeoutExpired after STOP_WITHIN seconds."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        return self._process.wait(STOP_WITHIN)

    def pause(self) -> None:
        """Sends SIGSTOP."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Sends SIGCONT."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def end(self) -> None:
        """Kills the process if it still runs."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def peak_mib(self) -> float:
        """The largest resident memory since the start, as Linux counts it."""
        assert self._process is not None
        status = Path(f"/proc/{self._process.pid}/status").read_text()
        return int(status.split("VmHWM:")[1].split()[0]) / 1024

    def lines(self) -> list[dict[str, Any]]:
        """The events in its log so far. Output that is not an event, such as a warning of Python, is left out."""
        if self._log.exists():
            with self._log.open("rb") as log:
                log.seek(self._read_bytes)
                whole = log.read().rpartition(b"\n")[0]
            if whole:
                self._read_bytes += len(whole) + 1
                self._lines += [json.loads(line) for line in whole.splitlines() if line.startswith(b'{"')]
        return self._lines

    def wait_for(self, event: str, *, more_than: int = 0, within: float = START_WITHIN) -> None:
        """Waits until the log contains the event more than `more_than` times.

        Raises AssertionError with the end of the log after `within` seconds, or as soon as the process has ended.
        """
        deadline = time.monotonic() + within
        while self.count(event) <= more_than:
            if time.monotonic() > deadline or not self.running:
                raise AssertionError(f"{self.name} did not log {event}:\n{self._log.read_text()[-3000:]}")
            time.sleep(0.05)

    def count(self, event: str) -> int:
        """How many times the log contains the event."""
        return sum(line.get("event") == event for line in self.lines())
