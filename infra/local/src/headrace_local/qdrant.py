"""The Qdrant development server as one of the stack's servers."""

import sys
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from headrace_local.ports import HOST
from headrace_local.server import Command, base_environment


@dataclass(frozen=True)
class Qdrant:
    name: str
    home: Path
    ports: Mapping[str, int]
    port_names: ClassVar[tuple[str, ...]] = ("http",)
    refuses_root: ClassVar[bool] = False

    def install(self) -> None:
        """The engine is a dependency of this package."""

    def prepare(self) -> None:
        (self.home / "data").mkdir(exist_ok=True)

    def command(self) -> Command:
        argv = [sys.executable, "-m", "headrace_local.qdrant_server", str(self.home / "data"), str(self.ports["http"])]
        return Command(argv, base_environment(self.home))

    def is_ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self._url}/readyz", timeout=2) as answer:  # noqa: S310
                return bool(answer.status == 200)
        except OSError:
            return False

    def settings(self) -> Mapping[str, str]:
        return {"HEADRACE_QDRANT__URL": self._url, "HEADRACE_QDRANT__PREFER_GRPC": "false"}

    @property
    def _url(self) -> str:
        return f"http://{HOST}:{self.ports['http']}"
