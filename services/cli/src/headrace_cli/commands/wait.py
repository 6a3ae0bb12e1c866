"""Waits until everything is in every store."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated

import typer
from rich.status import Status

from headrace_cli.completion import Incomplete, Missing, until_stored
from headrace_cli.errors import NOT_DONE
from headrace_cli.options import AsJson
from headrace_cli.output import messages, print_json, screen
from headrace_worker.settings import CommonSettings

app = typer.Typer(rich_markup_mode="markdown", add_completion=False)


@app.command()
def wait(
    timeout: Annotated[float, typer.Option(min=0, help="Seconds until it stops and reports what is missing.")] = 300.0,
    as_json: AsJson = False,
) -> None:
    """Wait until everything published before the call is in every store and can be searched.

    Exit status 1 if the time is up first. The workers have to run: `headrace work`.
    """
    started = time.monotonic()
    missing: Sequence[Missing] = []
    try:
        asyncio.run(_wait(timeout))
    except Incomplete as incomplete:
        missing = incomplete.missing
    seconds = round(time.monotonic() - started, 3)
    if as_json:
        print_json({"done": not missing, "seconds": seconds, "missing": [asdict(part) for part in missing]})
    elif not missing:
        screen().print(f"everything is in every store ({seconds:.1f} s)")
    for part in missing:
        messages().print(f"{part.worker} has {part.records:,} records of {part.topic} to go", soft_wrap=True)
    if missing:
        messages().print(f"after {timeout:g} s: check that these workers run, with `headrace work`")
        raise typer.Exit(NOT_DONE)


async def _wait(timeout: float) -> None:
    with Status("counting", console=messages()) as status:

        def show(missing: Sequence[Missing]) -> None:
            left = ", ".join(f"{part.worker} {part.records:,}" for part in missing)
            status.update(f"records to go: {left}")

        await until_stored(CommonSettings(), timeout, show)
