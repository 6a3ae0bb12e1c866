"""The main job on real servers, in a minute."""

import asyncio
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from numpy.typing import NDArray

from headrace_cli import environment
from headrace_cli.environment import DEFAULT_DATA_DIR
from headrace_cli.errors import NOT_DONE, CommandError
from headrace_cli.installed_stores import opened_link_stores, opened_stores
from headrace_cli.options import AsJson
from headrace_cli.output import messages, print_json, screen
from headrace_cli.servers import say
from headrace_cli.store_search import embedded
from headrace_demo.demo_run import apply_everything, follow_story, running_workers
from headrace_demo.empty_servers import own_servers, refuse_what_is_not_empty
from headrace_demo.findings import Findings
from headrace_demo.report import as_json as findings_as_json
from headrace_demo.report import labelled_table, links_table, move_table, stores_table, workers_table
from headrace_demo.scenario import Story
from headrace_demo.searches import ENGLISH, search_tables
from headrace_demo.step_log import Telling

app = typer.Typer(rich_markup_mode="markdown", add_completion=False)

CHANGES_FOR_A_MALFORMED = 25


@app.command()
def demo(
    products: Annotated[int, typer.Option(min=1)] = 2000,
    keywords: Annotated[int, typer.Option(min=1)] = 500,
    changes: Annotated[int, typer.Option(min=0)] = 500,
    running: Annotated[
        bool, typer.Option("--running", help="With the servers and workers that run already; all has to be empty.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Publish a catalogue and its changes, follow every record into the stores, and compare each store and the links
    between products and keywords with what they must be.

    It starts servers and workers of its own and stops them at the end; whatever runs already is left alone. With
    HEADRACE_EMBEDDER=triton the vectors come from a Triton server. Exit status 0 only if every record is accounted
    for and every store is right.
    """
    telling = Telling(messages() if as_json else screen())
    story = Story(products, keywords, changes, changes // CHANGES_FOR_A_MALFORMED)
    if running:
        environment.read()
        _conclude(asyncio.run(_with_running_workers(story, telling)), telling, as_json)
        return
    with own_servers(DEFAULT_DATA_DIR / "demo", say(telling.console)) as servers:
        log = servers.data_dir / "workers.log"
        findings = asyncio.run(_with_own_workers(story, log, telling))
        _conclude(findings, telling, as_json, f"the workers' log is {log}")


async def _with_own_workers(story: Story, log: Path, telling: Telling) -> Findings:
    _, vectors = await asyncio.gather(apply_everything(), embedded(ENGLISH))
    telling.say("topics, stores and the model are there")
    try:
        async with running_workers(log):
            telling.say("the workers are ready")
            return await _tell(story, vectors, telling)
    except CommandError as error:
        raise CommandError(f"{error}; the workers' log is {log}") from error


async def _with_running_workers(story: Story, telling: Telling) -> Findings:
    _, vectors = await asyncio.gather(apply_everything(), embedded(ENGLISH))
    await refuse_what_is_not_empty()
    telling.say("topics, stores and the model are there, and nothing is in them")
    return await _tell(story, vectors, telling)


async def _tell(story: Story, vectors: NDArray[np.float32], telling: Telling) -> Findings:
    async with opened_stores() as stores, opened_link_stores() as link_stores:
        findings = await follow_story(story, stores, link_stores, telling)
        telling.say("every store is compared with what it must hold")
        tables = [workers_table(findings), stores_table(findings), links_table(findings), labelled_table(findings)]
        for table in (*tables, *([move_table(findings.move)] if findings.move else [])):
            telling.console.print("", table)
        telling.console.print()
        async for table in search_tables(stores, vectors):
            telling.console.print(table)
    return findings


def _conclude(findings: Findings, telling: Telling, as_json: bool, where_to_look: str = "") -> None:
    """Says whether all is right, and raises typer.Exit if it is not."""
    if as_json:
        print_json(findings_as_json(findings))
    if problems := findings.problems():
        messages().print("\n".join([*problems, *filter(None, [where_to_look])]), markup=False, soft_wrap=True)
        raise typer.Exit(NOT_DONE)
    telling.say("every record is accounted for, and every store is right")
