"""The command `headrace console`."""

from typing import Annotated

import typer

app = typer.Typer(rich_markup_mode="markdown", add_completion=False)


@app.command()
def console(
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="Listen here instead; 0 is any free port.")] = None,
) -> None:
    """Serve the operator's web page on this machine until Ctrl-C.

    Without HEADRACE_CONSOLE__TOKEN a token is made and printed in the URL, once. The page is for the addresses of this
    machine alone, unless HEADRACE_CONSOLE__HOST says otherwise, which needs TLS.
    """
    from headrace_console.main import run

    raise typer.Exit(run(port))
