"""Where settings come from: first the environment, then the file `stack.env` that `headrace up` writes."""

import os
from pathlib import Path

import typer
from typer.core import TyperCommand

DATA_DIR = "HEADRACE_DATA_DIR"
"""Names the directory of `headrace up`. Only the command reads it, no worker does."""
DEFAULT_DATA_DIR = Path(".headrace")
ACTOR = "HEADRACE_ACTOR"
"""Who changes dead letters, for the audit. Only the command reads it, too."""


class WithoutSettings(TyperCommand):
    """The class of a command that needs no settings when it starts: `@app.command(cls=WithoutSettings)`.

    Such a command reads none, or it starts the servers that the settings describe.
    """


def read() -> None:
    """Adds the variables of `stack.env` to the environment of this process, which its child processes inherit."""
    # The list of the commands needs no settings.
    from headrace_local.settings_file import read_settings

    directory = Path(os.environ.pop(DATA_DIR, DEFAULT_DATA_DIR))
    for name, value in read_settings(directory / "stack.env").items():
        os.environ.setdefault(name, value)


def warn_of_unknown() -> None:
    """Writes one line to standard error for each `HEADRACE_` variable that nothing reads."""
    from headrace_worker.settings import unknown_variables
    from headrace_worker.worker import known_variables

    for warning in unknown_variables(os.environ, {DATA_DIR, ACTOR, *known_variables()}):
        typer.echo(f"headrace: {warning}", err=True)
