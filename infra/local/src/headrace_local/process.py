"""Processes that outlive their starter, identified so that they are never confused with other programs."""

import contextlib
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from headrace_local.server import Command
from headrace_local.system_user import run_as

SHELL = '"$@" >&2 & echo $!'
CLOCK_STEP = 2.0
SIGNAL_TIMEOUT = 10.0


@dataclass(frozen=True, slots=True)
class Process:
    """A process by its id and the time it was created, in seconds since the epoch.

    The pair can be stored in a file; an id alone could later belong to another program.
    """

    pid: int
    created: float

    def find(self) -> psutil.Process | None:
        """The running process, or None if it has ended or its id now belongs to another program."""
        try:
            found = psutil.Process(self.pid)
            # Linux counts the creation time from the boot, so a correction of the clock changes it a little.
            if abs(found.create_time() - self.created) > CLOCK_STEP or found.status() == psutil.STATUS_ZOMBIE:
                return None
        except psutil.NoSuchProcess:
            return None
        return found

    def is_paused(self) -> bool:
        found = self.find()
        return found is not None and found.status() == psutil.STATUS_STOPPED

    def kill(self) -> None:
        """SIGKILL for the process and all its descendants; returns once they are gone.

        PostgreSQL puts each backend in a session of its own, so one signal to a process group misses them.
        All are stopped first, so that none can start another child or clean up before it ends.
        """
        tree = self._stop_tree()
        for member in tree:
            with contextlib.suppress(psutil.NoSuchProcess):
                member.kill()
        _wait(tree, _is_gone, SIGNAL_TIMEOUT)

    def pause(self) -> None:
        """SIGSTOP for the process and all its descendants: the ports stay open, nothing answers."""
        _wait(self._stop_tree(), lambda member: member.status() == psutil.STATUS_STOPPED, SIGNAL_TIMEOUT)

    def resume(self) -> None:
        tree = self._tree()
        for member in tree:
            with contextlib.suppress(psutil.NoSuchProcess):
                member.resume()
        _wait(tree, lambda member: member.status() != psutil.STATUS_STOPPED, SIGNAL_TIMEOUT)

    def stop(self, signal: int, timeout: float) -> None:
        """Send `signal`, and kill the processes that still run after `timeout` seconds."""
        found = self.find()
        if found is None:
            return
        tree = self._tree()
        self.resume()
        with contextlib.suppress(psutil.NoSuchProcess):
            found.send_signal(signal)
        left = _wait(tree, _is_gone, timeout)
        for member in left:
            with contextlib.suppress(psutil.NoSuchProcess):
                member.kill()
        _wait(left, _is_gone, SIGNAL_TIMEOUT)

    def _tree(self) -> list[psutil.Process]:
        found = self.find()
        if found is None:
            return []
        try:
            return [found, *found.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []

    def _stop_tree(self) -> list[psutil.Process]:
        stopped: set[psutil.Process] = set()
        while fresh := [member for member in self._tree() if member not in stopped]:
            for member in fresh:
                with contextlib.suppress(psutil.NoSuchProcess):
                    member.suspend()
            stopped.update(fresh)
        return list(stopped)


def launch(command: Command, cwd: Path, log: Path) -> Process:
    """Start a program in a session of its own, with its output appended to `log`.

    A shell starts the program and ends at once, so that the program becomes a child of init: it survives the caller,
    and a caller that continues to run (a test session) has no zombie.
    """
    with log.open("ab") as output:
        shell = subprocess.run(
            ["/bin/sh", "-c", SHELL, "sh", *command.argv],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=output,
            env=dict(command.environment),
            cwd=cwd,
            **run_as(command.user),
            start_new_session=True,
            check=True,
        )
    pid = int(shell.stdout)
    try:
        return Process(pid, psutil.Process(pid).create_time())
    except psutil.NoSuchProcess:
        return Process(pid, 0.0)


def _wait(
    members: Sequence[psutil.Process], done: Callable[[psutil.Process], bool], timeout: float
) -> list[psutil.Process]:
    """Wait until a signal has taken effect. Returns the members where it has not."""
    deadline = time.monotonic() + timeout
    left = [member for member in members if not _has(done, member)]
    while left and time.monotonic() < deadline:
        time.sleep(0.02)
        left = [member for member in left if not _has(done, member)]
    return left


def _is_gone(member: psutil.Process) -> bool:
    try:
        return not member.is_running() or member.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def _has(done: Callable[[psutil.Process], bool], member: psutil.Process) -> bool:
    try:
        return _is_gone(member) or done(member)
    except psutil.NoSuchProcess:
        return True
