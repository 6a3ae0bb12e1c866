"""Creates the collections, indices and tables."""

import asyncio

import typer

from headrace_cli.options import AsJson
from headrace_cli.output import print_json, screen
from headrace_cli.worker_stores import prepare_stores

app = typer.Typer(rich_markup_mode="markdown", add_completion=False, no_args_is_help=True)


@app.callback()
def stores() -> None:
    """The collections, indices and tables that the workers write to."""


@app.command()
def apply(as_json: AsJson = False) -> None:
    """Create or migrate collections, payload indexes, mappings, aliases and tables. Safe to repeat."""
    made = asyncio.run(prepare_stores())
    if as_json:
        print_json(made)
        return
    for name, lines in made.items():
        screen().print("\n".join(f"{name}: {line}" for line in lines or ["up to date"]), markup=False)
