"""The interface of each kind of server."""

import os
import signal
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Protocol

from headrace_local.system_user import SystemUser


@dataclass(frozen=True, slots=True)
class Command:
    """How to start a server's process, and the signal that stops it."""

    argv: list[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    user: SystemUser | None = None
    stop_signal: int = signal.SIGTERM


class Server(Protocol):
    """One server, with a directory of its own and its ports.

    The calls come in this order; each may block, and none touches another server's directory.
    """

    port_names: ClassVar[tuple[str, ...]]
    refuses_root: ClassVar[bool]

    @property
    def name(self) -> str:
        """Its name in the stack, and the name of its directory."""

    def install(self) -> None:
        """Fetch the programs into the cache."""

    def prepare(self) -> None:
        """Make the data directory, or repair an incomplete one."""

    def command(self) -> Command:
        """The process to start."""

    def is_ready(self) -> bool:
        """Whether clients are served now."""

    def settings(self) -> Mapping[str, str]:
        """The HEADRACE_ settings that a client needs to connect."""


def base_environment(home: Path) -> dict[str, str]:
    """A small environment: the caller's variables may contain secrets, or change what a server does."""
    return {"PATH": os.environ.get("PATH", os.defpath), "HOME": str(home), "LANG": "C.UTF-8", "LC_ALL": "C.UTF-8"}
