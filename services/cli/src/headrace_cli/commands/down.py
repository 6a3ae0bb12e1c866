"""Stops the servers on this machine."""

import typer

from headrace_cli.environment import DEFAULT_DATA_DIR, WithoutSettings
from headrace_cli.options import AsJson, DataDir
from headrace_cli.output import print_json, screen
from headrace_cli.servers import stack

app = typer.Typer(rich_markup_mode="markdown", add_completion=False)


@app.command(cls=WithoutSettings)
def down(data_dir: DataDir = DEFAULT_DATA_DIR, as_json: AsJson = False) -> None:
    """Stop the servers that `headrace up` started. Their data and their ports are kept."""
    servers = stack(data_dir)
    stopped = [server.name for server in servers.status() if server.state != "stopped"]
    servers.down()
    if as_json:
        print_json({"stopped": stopped})
    else:
        screen().print(f"stopped {', '.join(stopped)}" if stopped else f"nothing runs in {data_dir}")
