"""The steps of a command, as they begin."""

from collections.abc import Callable

import typer

Say = Callable[[str], None]


def say(step: str) -> None:
    """Writes the step to standard error, where it does not mix with JSON."""
    typer.echo(f"step: {step}", err=True)
