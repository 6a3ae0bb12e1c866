"""The servers on this machine, as the commands start them."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Literal

from rich.console import Console

import headrace_local
from headrace_local.errors import StackError
from headrace_local.known_servers import Observation
from headrace_local.stack import Progress, Stack
from headrace_worker.settings import CommonSettings

STATES = {"ready": "green", "running": "green", "failed": "red"}
MODEL_DIR = "HEADRACE_MODEL_DIR"


RULES = Path(headrace_local.__file__).parents[3] / "observability" / "rules"
"""In a checkout of the project. They are not part of a package."""


def stack(data_dir: Path, *, triton: bool = False, observe: bool = False, kafka_nodes: Literal[1, 3] = 1) -> Stack:
    """The servers of one data directory. Raises StackError if Triton's model cannot be written."""
    models = _triton_models(data_dir / "triton-models") if triton else None
    finder = [sys.executable, "-m", "headrace_cli", "targets", "--write"]
    observation = Observation(RULES, finder) if observe else None
    return Stack(data_dir, kafka_nodes=kafka_nodes, triton_repository=models, observation=observation)


def state_lines(console: Console) -> Progress:
    """Prints a line for each server whenever its state changes."""

    def line(name: str, state: str, seconds: float) -> None:
        style = STATES.get(state, "dim")
        console.print(f"{name:<14} [{style}]{state:<57}[/] {seconds:6.1f} s")

    return line


def _triton_models(folder: Path) -> Path:
    """The model repository for Triton. The package of the models writes it, in a separate process."""
    command = [sys.executable, "-m", "headrace_embed.triton_repository", str(folder), "--backend", "python"]
    command += ["--model", CommonSettings().model]
    command += ["--model-dir", os.environ[MODEL_DIR]] if MODEL_DIR in os.environ else []
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise StackError(f"triton: writing its model failed: {reason}")
    return folder
