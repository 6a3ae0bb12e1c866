"""Lists the workers for Prometheus."""

import asyncio
import json
from pathlib import Path
from typing import Annotated

import typer

from headrace_cli.output import print_json
from headrace_clients.kafka_offsets import NO_ANSWER
from headrace_clients.scrape_targets import ScrapeTargets
from headrace_worker.settings import CommonSettings

app = typer.Typer(rich_markup_mode="markdown", add_completion=False)
EVERY_SECONDS = 5.0


@app.command()
def targets(
    write: Annotated[
        Path | None,
        typer.Option("--write", metavar="FILE", help="Keep this file current until Ctrl-C.", dir_okay=False),
    ] = None,
) -> None:
    """List the workers that run as targets for Prometheus (`file_sd_configs`), in JSON.

    They are the members of Kafka's consumer groups that can be reached from this machine.
    """
    found = ScrapeTargets(CommonSettings().kafka)
    if write is None:
        print_json(asyncio.run(found.find()))
    else:
        if not write.exists():
            _write(write, [])
        asyncio.run(_keep_current(found, write))


async def _keep_current(found: ScrapeTargets, file: Path) -> None:
    """While Kafka does not answer, the file keeps the targets that were found last."""
    reported = None
    while True:
        try:
            _write(file, await found.find())
            problem = None
        except NO_ANSWER as error:
            problem = str(error) or type(error).__name__
        if problem not in (None, reported):
            typer.echo(f"headrace: Kafka does not answer: {problem}", err=True)
        reported = problem
        await asyncio.sleep(EVERY_SECONDS)


def _write(file: Path, targets: list[dict[str, object]]) -> None:
    """Prometheus reads the old or the new content, never half of it."""
    new = file.with_suffix(".new")
    new.write_text(json.dumps(targets, indent=2) + "\n", encoding="utf-8")
    new.replace(file)
