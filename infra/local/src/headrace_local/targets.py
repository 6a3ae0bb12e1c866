"""Finds the workers that Prometheus scrapes, and keeps their addresses in a file."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from headrace_local.server import Command, base_environment


@dataclass(frozen=True)
class Targets:
    """`finder`: the command that keeps the file current; the file's path is added as its last argument.

    `kafka`: bootstrap servers, which know the addresses of the workers.
    """

    name: str
    home: Path
    ports: Mapping[str, int]
    finder: Sequence[str]
    file: Path
    kafka: str
    port_names: ClassVar[tuple[str, ...]] = ()
    refuses_root: ClassVar[bool] = False

    def install(self) -> None:
        """The finder is installed with the command `headrace`."""

    def prepare(self) -> None:
        self.file.parent.mkdir(parents=True, exist_ok=True)
        self.file.unlink(missing_ok=True)

    def command(self) -> Command:
        environment = base_environment(self.home) | {"HEADRACE_KAFKA__BOOTSTRAP_SERVERS": self.kafka}
        return Command([*self.finder, str(self.file)], environment)

    def is_ready(self) -> bool:
        return self.file.exists()

    def settings(self) -> Mapping[str, str]:
        return {}
