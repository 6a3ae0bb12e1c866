"""The command `headrace console`."""

from typing import Annotated

import typer

app = typer.Typer(rich_markup_mode="markdown", add_completion=False)


@app.command()
def console(
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="Listen on this port; 0: any free port.")] = None,
) -> None:
    """Serve the web console until Ctrl-C.

    It prints its URL. Without HEADRACE_CONSOLE__TOKEN it creates a token and prints it in the URL, once. It listens on
    127.0.0.1; another address (HEADRACE_CONSOLE__HOST) needs TLS.
    """
    from headrace_console.main import run

    raise typer.Exit(run(port))
