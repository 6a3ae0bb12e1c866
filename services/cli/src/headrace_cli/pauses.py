"""Publishes that a worker is paused or resumed."""

import asyncio
from datetime import UTC, datetime
from typing import Annotated

import typer

from headrace_cli.dead.selection_options import actor_name
from headrace_cli.errors import WRONG_CALL, CommandError
from headrace_cli.output import print_json, screen
from headrace_clients.pauses import publish_pause
from headrace_schemas.pauses import Pause
from headrace_worker.settings import CommonSettings
from headrace_worker.worker import worker_names


def _starting_with(incomplete: str) -> list[str]:
    return [name for name in worker_names() if name.startswith(incomplete)]


WorkerName = Annotated[
    str, typer.Argument(metavar="WORKER", help="The name of a worker.", autocompletion=_starting_with)
]


def change(worker: str, *, paused: bool, reason: str, actor: str | None, as_json: bool) -> None:
    """Publishes it and prints what was done. Raises CommandError for an unknown worker."""
    if worker not in worker_names():
        raise CommandError(f"there is no worker {worker!r}; installed are: {', '.join(worker_names())}", WRONG_CALL)
    record = Pause(worker=worker, paused=paused, actor=actor_name(actor), reason=reason, at=datetime.now(UTC))
    asyncio.run(publish_pause(CommonSettings(), record))
    if as_json:
        print_json({"worker": worker, "paused": paused})
    elif paused:
        screen().print(f"{worker} takes no further record; `headrace status` shows it as paused", markup=False)
    else:
        screen().print(f"{worker} goes on", markup=False)
