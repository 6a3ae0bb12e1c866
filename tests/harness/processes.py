"""Workers under test as processes of their own, so that they can be killed."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

START_WITHIN = 60.0
STOP_WITHIN = 10.0


class WorkerProcess:
    """`headrace work NAME` with a log file. `copy` names a second process of the same worker."""

    def __init__(self, name: str, environment: Mapping[str, str], logs: Path, copy: str = "") -> None:
        self.name = name
        self._environment = environment
        self._log = logs / f"{name}{copy}.log"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Starts it; returns at once."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("HEADRACE_")}
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "headrace_cli", "work", self.name],
                env=inherited | dict(self._environment),
                stdout=log,
                stderr=log,
            )

    def kill(self) -> None:
        """Sends SIGKILL and returns once the process is gone. Raises AssertionError if anything else ended it."""
        assert self._process is not None
        self._process.kill()
        assert self._process.wait() == -signal.SIGKILL, f"{self.name} had ended before it was killed"

    def stop(self) -> int:
        """SIGTERM; its exit status. Raises TimeoutExpired if it takes longer than a supervisor would wait."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        return self._process.wait(STOP_WITHIN)

    def end(self) -> None:
        """Whatever its state, it is gone afterwards."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def lines(self) -> list[dict[str, Any]]:
        """Its log lines so far; what is not one of its own events is left out."""
        if not self._log.exists():
            return []
        return [json.loads(line) for line in self._log.read_text().splitlines() if line.startswith('{"')]

    def wait_for(self, event: str, *, more_than: int = 0, within: float = START_WITHIN) -> None:
        """Waits until the log holds the event more than so often. Raises AssertionError with the log's end."""
        deadline = time.monotonic() + within
        while self.count(event) <= more_than:
            if time.monotonic() > deadline or not self.running:
                raise AssertionError(f"{self.name} never said {event}:\n{self._log.read_text()[-3000:]}")
            time.sleep(0.05)

    def count(self, event: str) -> int:
        """How often the log holds the event."""
        return sum(line.get("event") == event for line in self.lines())
