"""Writes a generated catalogue."""

from pathlib import Path
from typing import Annotated

import typer

from headrace_cli.environment import WithoutSettings
from headrace_cli.errors import WRONG_CALL, CommandError
from headrace_cli.options import AsJson
from headrace_cli.output import print_json, screen
from headrace_demo.catalogue.files import write_catalogue

app = typer.Typer(rich_markup_mode="markdown", add_completion=False)


@app.command(cls=WithoutSettings)
def generate(
    directory: Annotated[Path, typer.Argument(help="The folder for the files; created if missing.", file_okay=False)],
    products: Annotated[int, typer.Option(min=0)] = 2000,
    keywords: Annotated[int, typer.Option(min=0)] = 500,
    changes: Annotated[int, typer.Option(min=0, help="Changes that follow.")] = 500,
    malformed: Annotated[int, typer.Option(min=0, help="How many of the changes no worker can apply.")] = 0,
    seed: Annotated[int, typer.Option(help="The same seed gives the same files.")] = 1,
    as_json: AsJson = False,
) -> None:
    """Write a catalogue in English, Korean and Japanese, with labels and a stream of changes, as JSONL."""
    counts = {"products": products, "keywords": keywords, "changes": changes}
    try:
        write_catalogue(
            directory,
            seed,
            product_count=products,
            keyword_count=keywords,
            change_count=changes,
            malformed=malformed,
        )
    except ValueError as error:
        raise CommandError(str(error), WRONG_CALL) from None
    files = {name: str(directory / f"{name}.jsonl") for name in (*counts, "labels", "queries")}
    if as_json:
        print_json({**counts, "seed": seed, "files": files})
    else:
        screen().print(f"wrote {products:,} products, {keywords:,} keywords and {changes:,} changes to {directory}")
