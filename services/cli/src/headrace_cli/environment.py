"""Where settings come from: the environment first, then the `stack.env` that `headrace up` wrote."""

import os
from pathlib import Path

import typer

from headrace_local.record import read_settings
from headrace_worker.settings import unknown_variables
from headrace_worker.worker import known_variables

DATA_DIR = "HEADRACE_DATA_DIR"
"""Names the directory of `headrace up`; the command's own, no worker reads it."""
DEFAULT_DATA_DIR = Path(".headrace")
ACTOR = "HEADRACE_ACTOR"
"""Who clears dead letters, for the audit; the command's own, too."""


def read() -> None:
    """Completes the environment of this process, and so of its children, from `stack.env`."""
    directory = Path(os.environ.pop(DATA_DIR, DEFAULT_DATA_DIR))
    for name, value in read_settings(directory / "stack.env").items():
        os.environ.setdefault(name, value)


def warn_of_unknown() -> None:
    """One line on standard error for each `HEADRACE_` variable that nothing reads."""
    for warning in unknown_variables(os.environ, {DATA_DIR, ACTOR, *known_variables()}):
        typer.echo(f"headrace: {warning}", err=True)
