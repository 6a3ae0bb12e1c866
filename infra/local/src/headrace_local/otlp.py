"""The receiver of traces as one of the stack's servers."""

import sys
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from headrace_local.ports import HOST
from headrace_local.server import Command, base_environment

ENDPOINT = "HEADRACE_TELEMETRY__OTLP_ENDPOINT"


@dataclass(frozen=True)
class Otlp:
    name: str
    home: Path
    ports: Mapping[str, int]
    port_names: ClassVar[tuple[str, ...]] = ("http", "grpc")
    refuses_root: ClassVar[bool] = False

    def install(self) -> None:
        """The receiver is part of this package."""

    def prepare(self) -> None:
        (self.home / "data").mkdir(exist_ok=True)

    def command(self) -> Command:
        ports = [str(self.ports[purpose]) for purpose in self.port_names]
        argv = [sys.executable, "-m", "headrace_local.otlp_receiver", str(self.home / "data"), *ports]
        return Command(argv, base_environment(self.home))

    def is_ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self._url}/", timeout=2) as answer:  # noqa: S310
                return bool(answer.status == 200)
        except OSError:
            return False

    def settings(self) -> Mapping[str, str]:
        return {ENDPOINT: self._url}

    @property
    def _url(self) -> str:
        return f"http://{HOST}:{self.ports['http']}"
