"""Options that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

from headrace_cli.environment import DATA_DIR, DEFAULT_DATA_DIR
from headrace_schemas.fields import Kind

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
DataDir = Annotated[
    Path,
    typer.Option(
        envvar=DATA_DIR,
        show_default=str(DEFAULT_DATA_DIR),
        help="The servers' data, logs and stack.env.",
        file_okay=False,
    ),
]
OfKind = Annotated[Kind, typer.Option("--kind", help="Products or keywords.")]
