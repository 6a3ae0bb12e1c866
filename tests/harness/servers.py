"""The real servers of a test session, and the faults that tests cause."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

import pytest

from headrace_local.stack import Stack
from headrace_worker.settings import ENV_PREFIX, CommonSettings

S = TypeVar("S", bound=CommonSettings)
SERVERS = ("kafka", "elasticsearch", "postgres", "qdrant")


def settings_in(environment: Mapping[str, str], kind: type[S], **variables: str) -> S:
    """Makes settings of these HEADRACE_ variables alone. `variables`: further ones, without that prefix."""
    own = {**environment, **{ENV_PREFIX + name: value for name, value in variables.items()}}
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith(ENV_PREFIX)]:
            patch.delenv(name)
        for name, value in own.items():
            patch.setenv(name, value)
        return kind()


class Servers:
    """Starts each of `SERVERS` when it is first needed.

    If a server does not start, StackError fails the test that needs it. All calls block.
    """

    def __init__(self, data_dir: Path) -> None:
        self._data_dir = data_dir
        self._stack = Stack(data_dir)
        self._needed: set[str] = set()
        self._environment: dict[str, str] = {}

    def need(self, *names: str) -> Mapping[str, str]:
        """Returns the HEADRACE_ variables of these servers and of those needed before. All serve clients on return."""
        self._needed.update(names)
        if names:
            self._environment |= Stack(self._data_dir, services=names).up()
        return self._environment

    def heal(self) -> None:
        """Starts and resumes every server that a test has stopped or paused."""
        self.need(*self._needed)

    def settings(self, kind: type[S], *names: str, **variables: str) -> S:
        """Makes settings of these servers. `variables`: further ones, without the prefix HEADRACE_.

        The developer's own HEADRACE_ variables have no effect.
        """
        return settings_in(self.need(*names), kind, **variables)

    def kill(self, name: str) -> None:
        """Sends SIGKILL and returns once the server is gone. Raises AssertionError if it did not run before."""
        self._break(name, self._stack.kill, "stopped")

    def start(self, name: str) -> None:
        """Starts a killed server on the same port and data; returns once it serves clients."""
        self._stack.start(name)

    def pause(self, name: str) -> None:
        """Sends SIGSTOP: connections stay open, the kernel accepts new ones, and nothing answers.

        Raises AssertionError if the server did not run before.
        """
        self._break(name, self._stack.pause, "paused")

    def resume(self, name: str) -> None:
        """Sends SIGCONT."""
        self._stack.resume(name)

    def destroy(self) -> None:
        """Ends all servers and removes their data."""
        self._stack.destroy()

    def _break(self, name: str, fault: Callable[[str], None], expected: str) -> None:
        assert self._state(name) == "running"
        fault(name)
        assert self._state(name) == expected

    def _state(self, name: str) -> str:
        return next(server.state for server in self._stack.status() if server.name == name)
