"""Creates the topics."""

import asyncio

import typer

from headrace_cli.kafka_topics import apply_topics
from headrace_cli.options import AsJson
from headrace_cli.output import print_json, screen
from headrace_worker.settings import CommonSettings
from headrace_worker.worker import rejecting_names

app = typer.Typer(rich_markup_mode="markdown", add_completion=False, no_args_is_help=True)


@app.callback()
def topics() -> None:
    """The topics that the catalogue and the workers use."""


@app.command()
def apply(as_json: AsJson = False) -> None:
    """Create the missing topics and correct settings that differ. Safe to repeat."""
    lines = asyncio.run(apply_topics(CommonSettings(), rejecting_names()))
    if as_json:
        print_json({"changes": lines})
    else:
        screen().print("\n".join(lines) or "every topic is up to date", markup=False)
