"""The command `headrace migrate`."""

import asyncio
import json
from typing import Annotated, NoReturn

import typer
from aiokafka.errors import CommitFailedError

from headrace_rebuild import migration
from headrace_rebuild.steps import say
from headrace_worker.model_catalogue import UnknownModel, catalogue_model
from headrace_worker.settings import CommonSettings
from headrace_worker.store import InUse

app = typer.Typer(rich_markup_mode="markdown", add_completion=False)
WRONG_SHOWN = 20


@app.command()
def migrate(
    model: Annotated[str, typer.Option("--model", metavar="MODEL", help="The id of the other model.")],
    switch: Annotated[bool, typer.Option("--switch", help="Compare, and serve this model.")] = False,
    abort: Annotated[
        bool, typer.Option("--abort", help="Remove the objects of this model; not if it is served.")
    ] = False,
    timeout: Annotated[float, typer.Option(min=0, help="With --switch: seconds to wait for its workers.")] = 3600.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Change the embedding model without an outage.

    Without an option it creates the topics of the model, and its objects in every store beside those that are served.
    Then start its workers: `embed`, `qdrant`, `pgvector`, `elasticsearch` and `link`, with this HEADRACE_MODEL and
    with HEADRACE_GROUPS_BY_MODEL=true, beside those of the other model. `embed` reads the topics from their start.

    `--switch` waits until they have read what is published, compares the stores and the links with the topics, as
    `headrace verify` does, and moves the public names. `--abort` removes what it created, and after the switch, for
    the former model, what is left of that.
    """
    try:
        catalogue_model(model)
    except UnknownModel as error:
        _refuse(str(error), 2)
    if switch and abort:
        _refuse("give either --switch or --abort", 2)
    settings = migration.choose(model)
    try:
        if abort:
            lines = asyncio.run(migration.abort(settings, say))
        elif switch:
            lines = asyncio.run(_switch(settings, timeout))
        else:
            lines = asyncio.run(migration.prepare(say))
    except CommitFailedError:
        _refuse(f"the worker embed of {model} runs: stop the workers of {model} first", 1)
    except InUse as error:
        _refuse(f"{model} is served: {error}; serve another model first, with --switch", 1)
    except migration.NotReady as error:
        _refuse(str(error), 1)
    if as_json:
        typer.echo(json.dumps({"model": model, "changes": lines}, indent=2))
        return
    for line in lines or ["nothing to do"]:
        typer.echo(line)
    if not switch and not abort:
        typer.echo(f"start its workers with HEADRACE_MODEL={model} HEADRACE_GROUPS_BY_MODEL=true, then run")
        typer.echo(f"`headrace migrate --model {model} --switch`")


async def _switch(settings: CommonSettings, timeout: float) -> list[str]:
    compared = await migration.compare(settings, timeout, say)
    for note in compared.notes:
        typer.echo(f"note: {note}", err=True)
    if compared.wrong:
        for line in [*compared.wrong[:WRONG_SHOWN], f"{len(compared.wrong):,} differences: nothing is switched"]:
            typer.echo(line, err=True)
        raise typer.Exit(1)
    return await migration.serve(say)


def _refuse(line: str, status: int) -> NoReturn:
    typer.echo(f"headrace: {line}", err=True)
    raise typer.Exit(status)
