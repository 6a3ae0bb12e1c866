"""Runs workers."""

import asyncio
import os
import signal
import sys
from typing import Annotated

import typer

from headrace_cli.errors import WRONG_CALL, CommandError
from headrace_worker.settings import WorkerSettings
from headrace_worker.worker import process_names

app = typer.Typer(rich_markup_mode="markdown", add_completion=False)
HTTP_PORT = "HEADRACE_HTTP__PORT"
COLOURS = ("cyan", "magenta", "green", "yellow", "blue", "bright_red")


def _complete(incomplete: str) -> list[str]:
    return [name for name in process_names() if name.startswith(incomplete)]


@app.command()
def work(
    names: Annotated[list[str] | None, typer.Argument(metavar="[NAME]...", autocompletion=_complete)] = None,
    allow_rejects: Annotated[
        bool,
        typer.Option(help="Dead-letter every rejected change, also where the breaker would hold the worker."),
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Only the log lines, without the worker's name in front.")
    ] = False,
) -> None:
    """Run the named workers, or all of them, until Ctrl-C.

    A single worker runs in this process, as in production. Each of several workers runs in its own process: its lines
    of output start with its name, and it is started again when it ends. With HEADRACE_HTTP__PORT the first worker
    answers /healthz, /readyz and /metrics on that port, the next one on the next port, and so on.
    """
    installed = process_names()
    if unknown := sorted(set(names or ()) - set(installed)):
        raise CommandError(f"there is no worker {unknown[0]!r}; there are {', '.join(installed)}", WRONG_CALL)
    chosen = list(dict.fromkeys(names or installed))
    status = _run_here(chosen[0], allow_rejects) if len(chosen) == 1 else _supervise(chosen, allow_rejects, as_json)
    raise typer.Exit(status)


def _run_here(name: str, allow_rejects: bool) -> int:
    from headrace_runtime.main import run

    return run(name, allow_rejects=allow_rejects)


def _supervise(names: list[str], allow_rejects: bool, as_json: bool) -> int:
    from headrace_cli.supervisor import Supervisor, worker_command
    from headrace_cli.supervisor_metrics import served

    options = ["--allow-rejects"] if allow_rejects else []
    commands = {name: worker_command(name, *options) for name in names}
    http = WorkerSettings().http
    port = http.port
    ports = {name: str(port + place if port else 0) for place, name in enumerate(names)}
    prefixes = _prefixes(names, as_json)

    def say(name: str, line: str) -> None:
        sys.stdout.write(f"{prefixes[name]}{line}\n")
        sys.stdout.flush()

    async def supervise() -> int:
        supervisor = Supervisor(commands, say, lambda name: {HTTP_PORT: ports[name]})
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, supervisor.stop)
        with served(supervisor, http.supervisor_port):
            return await supervisor.run()

    return asyncio.run(supervise())


def _prefixes(names: list[str], as_json: bool) -> dict[str, str]:
    """Worker name to the text in front of its lines; on a terminal each worker has its own colour."""
    if as_json:
        return dict.fromkeys(names, "")
    width = max(map(len, names))
    coloured = sys.stdout.isatty() and "NO_COLOR" not in os.environ
    plain = {name: f"{name:<{width}} | " for name in names}
    if not coloured:
        return plain
    return {name: typer.style(plain[name], fg=COLOURS[place % len(COLOURS)]) for place, name in enumerate(names)}
