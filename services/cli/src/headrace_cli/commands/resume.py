"""Resumes a paused worker."""

from typing import Annotated

import typer

from headrace_cli.dead.selection_options import Actor
from headrace_cli.options import AsJson
from headrace_cli.pauses import WorkerName, change

app = typer.Typer(rich_markup_mode="markdown", add_completion=False)


@app.command()
def resume(
    worker: WorkerName,
    reason: Annotated[str, typer.Option(help="Why; the topic keeps it.", show_default=False)] = "",
    actor: Actor = None,
    as_json: AsJson = False,
) -> None:
    """Resume a paused worker: its copies go on where they stopped."""
    change(worker, paused=False, reason=reason, actor=actor, as_json=as_json)
