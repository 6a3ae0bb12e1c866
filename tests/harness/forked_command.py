"""The command `headrace` in processes of their own, forked from one that has imported all of it.

Nothing but the imports differs from `python -m headrace_cli`: a process has its own environment, working directory,
signals and exit status. Tests of the start itself, of a terminal, and of the memory use `python -m headrace_cli`.
"""

import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from headrace_cli.main import COMMANDS
from headrace_worker.deferred import Deferred
from headrace_worker.opened_stores import workers

_FORKING = multiprocessing.get_context("forkserver")


def inherited() -> dict[str, str]:
    """The environment of this process without the developer's own settings."""
    return {name: value for name, value in os.environ.items() if not name.startswith("HEADRACE_")}


class ForkedCommand:
    """`headrace ARGUMENTS` in the background. `environment`: its HEADRACE_ variables. `out`, `err`: files that its
    standard output and its standard error are appended to. Its standard input is empty. `before`: what the process does
    first.
    """

    def __init__(
        self,
        arguments: tuple[str, ...],
        environment: Mapping[str, str],
        out: Path,
        err: Path,
        directory: Path,
        before: Callable[[], None] | None = None,
    ) -> None:
        self.arguments = arguments
        self._process = _FORKING.Process(
            target=_run, args=(arguments, inherited() | dict(environment), out, err, directory, before), daemon=True
        )
        self._process.start()

    @property
    def pid(self) -> int:
        assert self._process.pid is not None
        return self._process.pid

    def poll(self) -> int | None:
        """The exit status, negative if a signal ended it; None while it runs."""
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        """Returns the exit status. Raises TimeoutExpired after `timeout` seconds."""
        self._process.join(timeout)
        status = self.poll()
        if status is None:
            assert timeout is not None
            raise subprocess.TimeoutExpired(["headrace", *self.arguments], timeout)
        return status

    def send_signal(self, number: signal.Signals) -> None:
        """Does nothing if it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)


def headrace(
    *arguments: str,
    environment: Mapping[str, str],
    directory: Path | None = None,
    timeout: float = 120,
    before: Callable[[], None] | None = None,
) -> "subprocess.CompletedProcess[str]":
    """Runs a command to its end, in an empty directory unless one is given. `environment`: its HEADRACE_ variables.

    `before`: what its process does first. Raises TimeoutExpired after `timeout` seconds.
    """
    with tempfile.TemporaryDirectory() as scratch:
        out, err, empty = Path(scratch) / "out", Path(scratch) / "err", Path(scratch) / "empty"
        empty.mkdir()
        command = ForkedCommand(arguments, environment, out, err, directory or empty, before)
        try:
            status = command.wait(timeout)
        finally:
            command.send_signal(signal.SIGKILL)
        return subprocess.CompletedProcess(["headrace", *arguments], status, out.read_text(), err.read_text())


def _run(
    arguments: tuple[str, ...],
    environment: Mapping[str, str],
    out: Path,
    err: Path,
    directory: Path,
    before: Callable[[], None] | None,
) -> None:
    """In the new process."""
    for descriptor, path in ((1, out), (2, err)):
        file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        os.dup2(file, descriptor)
        os.close(file)
    os.chdir(directory)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = ["headrace", *arguments]
    if before is not None:
        before()
    from headrace_cli.main import app

    app(prog_name="headrace")


def _modules() -> Iterator[str]:
    """What the commands and the workers import."""
    commands = (f"headrace_cli.commands.{name.replace('-', '_')}" for name in COMMANDS)
    yield from ("headrace_runtime.main", "headrace_cli.errors", *commands)
    for worker in workers():
        inputs = [worker, *filter(None, (worker.raw, worker.listener))]
        for opener in ("stage", "store", "links", "tables", "scan", "beside"):
            for deferred in (getattr(one, opener, None) for one in inputs):
                if isinstance(deferred, Deferred):
                    yield deferred.target.partition(":")[0]


_FORKING.set_forkserver_preload(list(_modules()))
