"""Starts the servers on this machine."""

import os
from pathlib import Path
from typing import Annotated, Literal

import typer

from headrace_cli.environment import DEFAULT_DATA_DIR, WithoutSettings
from headrace_cli.options import AsJson, DataDir
from headrace_cli.output import messages, print_json, screen
from headrace_cli.servers import stack, state_lines
from headrace_local.ports import HOST

app = typer.Typer(rich_markup_mode="markdown", add_completion=False)


@app.command(cls=WithoutSettings)
def up(
    data_dir: DataDir = DEFAULT_DATA_DIR,
    triton: Annotated[bool, typer.Option("--triton", help="Start a Triton Inference Server too.")] = False,
    observe: Annotated[
        bool, typer.Option("--observe", help="Start Prometheus and a receiver of traces too (docs/observability.md).")
    ] = False,
    kafka_nodes: Annotated[Literal["1", "3"], typer.Option(help="Brokers; 3 survive the loss of one.")] = "1",
    as_json: AsJson = False,
) -> None:
    """Start Kafka, Elasticsearch, PostgreSQL and Qdrant on this machine, without Docker.

    Servers that already run stay as they are. Every other command reads DATA_DIR/stack.env; the
    environment comes first.
    """
    servers = stack(data_dir, triton=triton, observe=observe, kafka_nodes=3 if kafka_nodes == "3" else 1)
    settings = servers.up(state_lines(messages()))
    if as_json:
        print_json({"data_dir": str(servers.data_dir), "variables": sorted(settings)})
    else:
        screen().print(f"Everything runs; its addresses are in {_shown(servers.settings_path)}", soft_wrap=True)
        for server in servers.status():
            if server.name == "prometheus" and server.state == "running":
                screen().print(f"Prometheus, with the alerts, is at http://{HOST}:{server.ports['http']}/alerts")


def _shown(path: Path) -> str:
    return os.path.relpath(path) if path.is_relative_to(Path.cwd()) else str(path)
