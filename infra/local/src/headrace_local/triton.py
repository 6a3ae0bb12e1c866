"""Triton Inference Server from the package nvidia-pytriton, in a virtual environment of its own."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from headrace_local.errors import StackError
from headrace_local.ports import HOST
from headrace_local.server import Command


@dataclass(frozen=True)
class Triton:
    name: str
    home: Path
    ports: Mapping[str, int]
    repository: Path
    port_names: ClassVar[tuple[str, ...]] = ("grpc", "http", "metrics")

    def install(self) -> None:
        raise StackError("triton: not yet")

    def prepare(self) -> None:
        pass

    def command(self) -> Command:
        return Command([])

    def is_ready(self) -> bool:
        return False

    def settings(self) -> Mapping[str, str]:
        return {"HEADRACE_TRITON__URL": f"{HOST}:{self.ports['grpc']}"}
