"""Shows the servers on this machine, and the workers."""

import os
import socket
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Group, RenderableType
from rich.live import Live
from rich.text import Text

from headrace_cli.environment import DEFAULT_DATA_DIR, WithoutSettings
from headrace_cli.errors import NOT_DONE, WRONG_CALL, CommandError
from headrace_cli.options import AsJson, DataDir
from headrace_cli.output import inert, print_json, screen, table
from headrace_cli.servers import stack
from headrace_local.settings_file import read_settings
from headrace_local.stack import ServerStatus
from headrace_worker.settings import CommonSettings

if TYPE_CHECKING:
    from headrace_cli.worker_overview import Workers

app = typer.Typer(rich_markup_mode="markdown", add_completion=False)
STYLES = {"running": "green", "paused": "yellow", "stopped": "red"}
CONNECT_SECONDS = 2.0
WATCH_SECONDS = 2.0


@app.command(cls=WithoutSettings)
def status(
    data_dir: DataDir = DEFAULT_DATA_DIR,
    as_json: AsJson = False,
    watch: Annotated[bool, typer.Option("--watch", help="Show it again every two seconds, until Ctrl-C.")] = False,
) -> None:
    """Show the servers that `headrace up` started, and the workers that Kafka knows: their state, copies, records a
    second, lag in records and seconds, delay from publication to applied since their start, dead letters that wait, and
    the live entities of each store.

    The workers are those of the settings' Kafka; each copy is found by what it announces there. What is not known is
    shown as "–", in JSON as null. Exit status 1 unless all servers run; with --watch 0.
    """
    if watch and as_json:
        raise CommandError("--watch shows tables: call --json again instead", WRONG_CALL)
    if watch:
        _watch(data_dir)
        return
    servers = stack(data_dir)
    found = servers.status()
    workers = _workers(data_dir)
    if as_json:
        print_json([*map(_object, found), *_worker_objects(workers)])
    else:
        screen().print(_shown(data_dir, found, workers))
    if not found or any(server.state != "running" for server in found):
        raise typer.Exit(NOT_DONE)


def _watch(data_dir: Path) -> None:
    with suppress(KeyboardInterrupt), Live(console=screen(), auto_refresh=False) as live:
        while True:
            found = stack(data_dir).status()
            live.update(_shown(data_dir, found, _workers(data_dir)), refresh=True)
            time.sleep(WATCH_SECONDS)


def _shown(data_dir: Path, found: Sequence[ServerStatus], workers: "Workers | str") -> Group:
    servers: RenderableType = Text(f"no servers in {data_dir}: start them with `headrace up`")
    if found:
        servers = table("server", "state", "pid", "ports")
        for server in found:
            servers.add_row(*_row(server))
        servers.caption = f"logs: {stack(data_dir).log_path('SERVER')}"
    return Group(servers, *_shown_workers(workers))


def _workers(data_dir: Path) -> "Workers | str":
    """The workers, or why nothing is known of them."""
    for name, value in read_settings(data_dir / "stack.env").items():
        os.environ.setdefault(name, value)
    settings = CommonSettings()
    # Importing the workers is slow, so it is done only if Kafka accepts connections.
    if not any(map(_accepts, settings.kafka.bootstrap_servers.split(","))):
        return f"no Kafka at {settings.kafka.bootstrap_servers}"
    from headrace_cli.worker_overview import read_workers

    return read_workers(settings)


def _accepts(server: str) -> bool:
    host, _, port = server.strip().rpartition(":")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=CONNECT_SECONDS):
            return True
    except (OSError, ValueError):
        return False


def _worker_objects(workers: "Workers | str") -> list[dict[str, Any]]:
    if isinstance(workers, str):
        return []
    from headrace_cli.worker_overview import worker_objects

    return worker_objects(workers)


def _shown_workers(workers: "Workers | str") -> list[RenderableType]:
    if isinstance(workers, str):
        return [inert(f"nothing is known of the workers: {workers}")]
    from headrace_cli.worker_overview import remarks, store_table, worker_table

    return [worker_table(workers), *remarks(workers), store_table(workers)]


def _object(server: ServerStatus) -> dict[str, Any]:
    return {"name": server.name, "state": server.state, "pid": server.pid, "ports": dict(server.ports)}


def _row(server: ServerStatus) -> list[str]:
    ports = ", ".join(f"{purpose} {port}" for purpose, port in server.ports.items())
    return [server.name, f"[{STYLES[server.state]}]{server.state}[/]", str(server.pid or ""), ports]
