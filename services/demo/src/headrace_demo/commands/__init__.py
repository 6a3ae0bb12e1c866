"""One module for each command, named after it, with its Typer application as `app`."""
