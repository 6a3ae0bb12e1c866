"""Shows the main job on real servers."""

import asyncio
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from numpy.typing import NDArray

from headrace_cli import environment
from headrace_cli.environment import DEFAULT_DATA_DIR, WithoutSettings
from headrace_cli.errors import NOT_DONE, CommandError
from headrace_cli.kafka_topics import apply_topics
from headrace_cli.options import AsJson
from headrace_cli.output import messages, print_json, screen
from headrace_cli.servers import state_lines
from headrace_cli.store_search import query_vectors
from headrace_cli.worker_stores import open_link_stores, open_stores, prepare_stores
from headrace_demo.demo_run import run_scenario
from headrace_demo.empty_servers import own_servers, require_empty
from headrace_demo.findings import Findings
from headrace_demo.own_workers import own_workers
from headrace_demo.report import as_json as findings_as_json
from headrace_demo.report import tables
from headrace_demo.scenario import Scenario
from headrace_demo.searches import ENGLISH, search_tables
from headrace_demo.step_log import StepLog
from headrace_worker.settings import CommonSettings
from headrace_worker.worker import rejecting_names

app = typer.Typer(rich_markup_mode="markdown", add_completion=False)

CHANGES_FOR_A_MALFORMED = 25


@app.command(cls=WithoutSettings)
def demo(
    products: Annotated[int, typer.Option(min=1)] = 2000,
    keywords: Annotated[int, typer.Option(min=1)] = 500,
    changes: Annotated[int, typer.Option(min=0)] = 500,
    running: Annotated[
        bool,
        typer.Option("--running", help="Use the servers and workers that already run; they must be empty."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Publish a catalogue and its changes, follow every record into the stores, and compare each store and the links
    between products and keywords with what they must be.

    It starts servers and workers of its own and stops them at the end; servers that already run stay as they are. With
    HEADRACE_EMBEDDER=triton the vectors come from a Triton server. Exit status 0 only if every record is accounted
    for and every store is right.
    """
    log = StepLog(messages() if as_json else screen())
    scenario = Scenario(products, keywords, changes, changes // CHANGES_FOR_A_MALFORMED)
    if running:
        environment.read()
        _conclude(asyncio.run(_with_running_workers(scenario, log)), log, as_json)
        return
    with own_servers(DEFAULT_DATA_DIR / "demo", state_lines(log.console)) as servers:
        workers_log = servers.data_dir / "workers.log"
        findings = asyncio.run(_with_own_workers(scenario, workers_log, log))
        _conclude(findings, log, as_json, f"the workers' log is {workers_log}")


async def _with_own_workers(scenario: Scenario, workers_log: Path, log: StepLog) -> Findings:
    _, vectors = await asyncio.gather(_apply(), query_vectors(ENGLISH))
    log.done("topics, stores and the model are ready")
    try:
        async with own_workers(workers_log):
            log.done("the workers are ready")
            return await _run(scenario, vectors, log)
    except CommandError as error:
        raise CommandError(f"{error}; the workers' log is {workers_log}") from error


async def _with_running_workers(scenario: Scenario, log: StepLog) -> Findings:
    _, vectors = await asyncio.gather(_apply(), query_vectors(ENGLISH))
    await require_empty()
    log.done("topics, stores and the model are ready and empty")
    return await _run(scenario, vectors, log)


async def _apply() -> None:
    """Creates the topics and the stores."""
    await apply_topics(CommonSettings(), rejecting_names())
    await prepare_stores()


async def _run(scenario: Scenario, vectors: NDArray[np.float32], log: StepLog) -> Findings:
    async with open_stores() as stores, open_link_stores() as link_stores:
        findings = await run_scenario(scenario, stores, link_stores, log)
        log.done("every store is compared with what it must contain")
        for table in tables(findings):
            log.console.print("", table)
        log.console.print()
        async for table in search_tables(stores, vectors):
            log.console.print(table)
    return findings


def _conclude(findings: Findings, log: StepLog, as_json: bool, where_to_look: str = "") -> None:
    """Prints whether everything is right. Raises typer.Exit if it is not."""
    if as_json:
        print_json(findings_as_json(findings))
    if problems := findings.problems():
        messages().print("\n".join([*problems, *filter(None, [where_to_look])]), markup=False, soft_wrap=True)
        raise typer.Exit(NOT_DONE)
    log.done("every record is accounted for, and every store is right")
