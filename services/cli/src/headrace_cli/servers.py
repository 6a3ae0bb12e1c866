"""The local servers as the commands start them."""

from pathlib import Path
from typing import Literal

from rich.console import Console

from headrace_local.stack import Progress, Stack

STATES = {"ready": "green", "running": "green", "failed": "red"}


def stack(data_dir: Path, *, triton: bool = False, kafka_nodes: Literal[1, 3] = 1) -> Stack:
    """The servers of one data directory."""
    return Stack(data_dir, kafka_nodes=kafka_nodes, triton_repository=data_dir / "triton-models" if triton else None)


def say(console: Console) -> Progress:
    """A line for each server when its state changes."""

    def line(name: str, state: str, seconds: float) -> None:
        style = STATES.get(state, "dim")
        console.print(f"{name:<14} [{style}]{state:<10}[/] {seconds:6.1f} s")

    return line
