"""Pauses a worker."""

from typing import Annotated

import typer

from headrace_cli.dead.selection_options import Actor
from headrace_cli.options import AsJson
from headrace_cli.pauses import WorkerName, change

app = typer.Typer(rich_markup_mode="markdown", add_completion=False)


@app.command()
def pause(
    worker: WorkerName,
    reason: Annotated[str, typer.Option(help="Why; `headrace status` shows it.", show_default=False)] = "",
    actor: Actor = None,
    as_json: AsJson = False,
) -> None:
    """Pause a worker: all its copies finish their batch and take no further record, until `headrace resume WORKER`.

    A paused worker keeps its partitions, and a restart does not end the pause. Its records wait on their topics, which
    keep derived records for 14 days. `/readyz` answers 503 and says who paused it; `headrace status`, `headrace wait`
    and the console show it.
    """
    change(worker, paused=True, reason=reason, actor=actor, as_json=as_json)
