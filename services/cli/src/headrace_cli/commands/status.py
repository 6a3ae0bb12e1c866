"""Shows the servers on this machine, and the workers."""

import os
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from headrace_cli.environment import DEFAULT_DATA_DIR, WithoutSettings
from headrace_cli.errors import NOT_DONE
from headrace_cli.options import AsJson, DataDir
from headrace_cli.output import print_json, screen, table
from headrace_cli.servers import stack
from headrace_local.record import read_settings
from headrace_local.stack import ServerStatus
from headrace_worker.settings import CommonSettings

if TYPE_CHECKING:
    from headrace_cli.worker_overview import Workers

app = typer.Typer(rich_markup_mode="markdown", add_completion=False)
STYLES = {"running": "green", "paused": "yellow", "stopped": "red"}
CONNECT_SECONDS = 2.0


@app.command(cls=WithoutSettings)
def status(data_dir: DataDir = DEFAULT_DATA_DIR, as_json: AsJson = False) -> None:
    """Show the servers that `headrace up` started, and the workers that Kafka knows.

    The workers are those of the settings' Kafka. Exit status 1 unless all servers run.
    """
    servers = stack(data_dir)
    found = servers.status()
    workers = _workers(data_dir)
    if as_json:
        print_json([*map(_object, found), *_worker_objects(workers)])
    else:
        if not found:
            screen().print(f"no servers in {data_dir}: start them with `headrace up`")
        else:
            shown = table("server", "state", "pid", "ports", "log")
            for server in found:
                shown.add_row(*_row(server), str(servers.log_path(server.name)))
            screen().print(shown)
        _print_workers(workers)
    if not found or any(server.state != "running" for server in found):
        raise typer.Exit(NOT_DONE)


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


def _print_workers(workers: "Workers | str") -> None:
    if isinstance(workers, str):
        screen().print(f"nothing is known of the workers: {workers}", markup=False, soft_wrap=True)
        return
    from headrace_cli.worker_overview import transaction_lines, worker_table

    screen().print(worker_table(workers))
    for line in transaction_lines(workers):
        screen().print(line, markup=False, soft_wrap=True)


def _object(server: ServerStatus) -> dict[str, Any]:
    return {"name": server.name, "state": server.state, "pid": server.pid, "ports": dict(server.ports)}


def _row(server: ServerStatus) -> list[str]:
    ports = ", ".join(f"{purpose} {port}" for purpose, port in server.ports.items())
    return [server.name, f"[{STYLES[server.state]}]{server.state}[/]", str(server.pid or ""), ports]
