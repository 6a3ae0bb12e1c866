"""A command that is killed at a planned moment: by kill -9 in one of its steps, after so many of its requests.

A command prints `step: NAME` before each step. Its own process looks at what it prints and sends, so that the moment is
exact, and notes it in a file, so that a test knows where the kill took place.
"""

import asyncio.selector_events
import asyncio.transports
import io
import os
import signal
import sys
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from multiprocessing.util import Finalize
from pathlib import Path
from typing import Any

from harness.forked_command import headrace

STEP = "step: "
REQUEST = "request"
HTTP = (b"PUT ", b"POST ", b"DELETE ")
KAFKA = (0, 8)
"""Produce and OffsetCommit: https://kafka.apache.org/protocol.html#protocol_api_keys"""
POSTGRES = (b"B", b"Q")
"""Bind, which an execution follows, and Query: https://www.postgresql.org/docs/current/protocol-message-formats.html"""


@dataclass(frozen=True, slots=True)
class Moment:
    """In this step, when so many requests of it are sent, or at its end if it has no more. 0: when the step begins."""

    step: str
    requests: int = 0


@dataclass(frozen=True, slots=True)
class Ended:
    """`status`: negative if a signal ended it. `steps`: those that began, each with the number of its requests that may
    write. `said`: everything that it printed.
    """

    status: int
    steps: list[tuple[str, int]]
    said: str

    @property
    def killed_in(self) -> str | None:
        """The step in which it was killed."""
        return self.steps[-1][0] if self.status == -signal.SIGKILL and self.steps else None


def run(*arguments: str, environment: Mapping[str, str], kill_at: Moment | None = None, timeout: float = 300) -> Ended:
    """Runs a command to its end. Raises TimeoutExpired."""
    with tempfile.TemporaryDirectory() as scratch:
        notes = Path(scratch) / "notes"
        notes.touch()
        before = partial(_watch, notes, kill_at)
        done = headrace(*arguments, environment=environment, timeout=timeout, before=before)
        return Ended(done.returncode, _steps(notes.read_text().splitlines()), done.stdout + done.stderr)


def _steps(lines: Iterable[str]) -> list[tuple[str, int]]:
    steps: list[tuple[str, int]] = []
    for line in lines:
        if line == REQUEST:
            name, requests = steps.pop()
            steps.append((name, requests + 1))
        else:
            steps.append((line.removeprefix(STEP), 0))
    return steps


class _Watch:
    """In the process of the command."""

    def __init__(self, notes: Path, kill_at: Moment | None) -> None:
        self._notes = os.open(notes, os.O_WRONLY | os.O_APPEND)
        self._kill_at = kill_at
        self._step: str | None = None
        self._requests = 0

    def begins(self, step: str) -> None:
        self.ends()
        self._step, self._requests = step, 0
        os.write(self._notes, f"{STEP}{step}\n".encode())
        if self._kill_at == Moment(step):
            os.kill(os.getpid(), signal.SIGKILL)

    def ends(self) -> None:
        """The step ends, because another one begins or the command ends."""
        if self._kill_at is not None and self._step == self._kill_at.step:
            os.kill(os.getpid(), signal.SIGKILL)

    def sends(self, data: bytes) -> None:
        if self._step is None or not _may_write(data):
            return
        if self._kill_at == Moment(self._step, self._requests):
            os.kill(os.getpid(), signal.SIGKILL)
        self._requests += 1
        os.write(self._notes, f"{REQUEST}\n".encode())


class _Stderr(io.TextIOWrapper):
    """Standard error of the command."""

    def __init__(self, watch: _Watch) -> None:
        super().__init__(os.fdopen(os.dup(2), "wb", 0), encoding="utf-8", write_through=True)
        self._watch = watch

    def write(self, text: str, /) -> int:
        for line in text.splitlines():
            if line.startswith(STEP):
                self._watch.begins(line.removeprefix(STEP))
        return super().write(text)


def _watch(notes: Path, kill_at: Moment | None) -> None:
    """Looks at standard error and at every connection of asyncio: all clients of the servers use it."""
    watch = _Watch(notes, kill_at)
    Finalize(None, watch.ends, exitpriority=1)
    sys.stderr = _Stderr(watch)
    transport: Any = asyncio.selector_events._SelectorSocketTransport  # type: ignore[attr-defined]
    write = transport.write

    def watched_write(self: Any, data: Any) -> None:
        watch.sends(bytes(data[:8]))
        write(self, data)

    # Without a method of its own the transport joins the parts for `write`, which is what is looked at.
    transport.write, transport.writelines = watched_write, asyncio.transports.WriteTransport.writelines


def _may_write(start: bytes) -> bool:
    """Whether a request that begins with these 8 bytes may write. Searches, which read, may be sent with POST."""
    if start.startswith(HTTP):
        return True
    if start[:1] == b"\0":
        # The length of a request of Kafka, below 16 MiB, then its kind.
        return int.from_bytes(start[4:6]) in KAFKA
    return start[:1] in POSTGRES and start[1:2] == b"\0"
