"""Creates the collections, indices and tables."""

import asyncio

import typer

from headrace_cli.options import AsJson
from headrace_cli.output import print_json, screen
from headrace_cli.worker_stores import prepare_stores, serve_model

app = typer.Typer(rich_markup_mode="markdown", add_completion=False, no_args_is_help=True)


@app.callback()
def stores() -> None:
    """The collections, indices and tables that the workers write to."""


@app.command()
def apply(as_json: AsJson = False) -> None:
    """Create or migrate collections, payload indexes, mappings, aliases and tables. Safe to repeat."""
    _print(asyncio.run(prepare_stores()), as_json)


@app.command()
def serve(as_json: AsJson = False) -> None:
    """Move the public aliases and views to the model of the settings. Safe to repeat."""
    _print(asyncio.run(serve_model()), as_json)


def _print(done: dict[str, list[str]], as_json: bool) -> None:
    """What was done in each store."""
    if as_json:
        print_json(done)
        return
    for name, lines in done.items():
        screen().print("\n".join(f"{name}: {line}" for line in lines or ["up to date"]), markup=False)
