"""Shows the servers on this machine."""

import typer

from headrace_cli.environment import DEFAULT_DATA_DIR, WithoutSettings
from headrace_cli.errors import NOT_DONE
from headrace_cli.options import AsJson, DataDir
from headrace_cli.output import print_json, screen, table
from headrace_cli.servers import stack
from headrace_local.stack import ServerStatus

app = typer.Typer(rich_markup_mode="markdown", add_completion=False)
STYLES = {"running": "green", "paused": "yellow", "stopped": "red"}


@app.command(cls=WithoutSettings)
def status(data_dir: DataDir = DEFAULT_DATA_DIR, as_json: AsJson = False) -> None:
    """Show the servers that `headrace up` started. Exit status 1 unless all of them run."""
    servers = stack(data_dir)
    found = servers.status()
    if as_json:
        print_json([{"name": s.name, "state": s.state, "pid": s.pid, "ports": dict(s.ports)} for s in found])
    elif not found:
        screen().print(f"no servers in {data_dir}: start them with `headrace up`")
    else:
        shown = table("server", "state", "pid", "ports", "log")
        for server in found:
            shown.add_row(*_row(server), str(servers.log_path(server.name)))
        screen().print(shown)
    if not found or any(server.state != "running" for server in found):
        raise typer.Exit(NOT_DONE)


def _row(server: ServerStatus) -> list[str]:
    ports = ", ".join(f"{purpose} {port}" for purpose, port in server.ports.items())
    return [server.name, f"[{STYLES[server.state]}]{server.state}[/]", str(server.pid or ""), ports]
