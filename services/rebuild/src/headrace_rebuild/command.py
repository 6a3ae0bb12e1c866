"""The command `headrace rebuild`."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any, NoReturn

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from headrace_rebuild.rebuild import Rebuild, Report
from headrace_rebuild.steps import say
from headrace_worker.beside import State
from headrace_worker.worker import Worker, load_worker, worker_names

app = typer.Typer(rich_markup_mode="markdown", add_completion=False)
WRONG_SHOWN = 20
NOT_DONE, WRONG_CALL = 1, 2


def _stores(incomplete: str) -> list[str]:
    return [name for name in worker_names() if name.startswith(incomplete) and load_worker(name).beside is not None]


@app.command()
def rebuild(
    store: Annotated[str, typer.Argument(metavar="STORE", help="The worker of the store.", autocompletion=_stores)],
    abort: Annotated[bool, typer.Option("--abort", help="Remove the new objects; before the switch.")] = False,
    drop_old: Annotated[bool, typer.Option("--drop-old", help="Remove the former objects; after the switch.")] = False,
    switch_anyway: Annotated[
        bool, typer.Option("--switch-anyway", help="Switch although the comparison found differences.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Build a store again beside the one in use, and switch to it. Searches answer all the time.

    New indices, collections or tables are filled from the source topics while the workers go on with those in use.
    What the topics have forgotten, such as old deletes, is taken over. The new objects are compared with the topics.
    Then the worker is paused for some seconds, and readers and writers are switched in one step. The former objects
    are kept until `--drop-old`.

    It runs in the foreground. If it is stopped or killed, call it again: it continues. Before the switch `--abort` ends
    it and removes the new objects. Exit status 1 if the comparison found differences: then nothing is switched.
    """
    worker = _worker(store)
    if abort and drop_old:
        _refuse("give either --abort or --drop-old", WRONG_CALL)
    if (abort or drop_old) and not yes and sys.stdin.isatty():
        typer.confirm(f"remove the {'new' if abort else 'former'} objects of {store}?", abort=True, err=True)
    if abort or drop_old:
        lines = asyncio.run(_remove(worker, abort=abort))
        _print({"removed": lines}, as_json, lines or ["there is nothing to remove"])
        return
    report = asyncio.run(_run(worker, switch_anyway))
    _print(_object(report), as_json, list(_lines(store, report)))
    if not report.switched:
        raise typer.Exit(NOT_DONE)


def _worker(name: str) -> Worker:
    worker = load_worker(name) if name in worker_names() else None
    if worker is None or worker.beside is None or worker.scan is None:
        _refuse(f"{name!r} has no store that can be rebuilt; these have: {', '.join(_stores(''))}", WRONG_CALL)
    return worker


async def _run(worker: Worker, switch_anyway: bool) -> Report:
    console = Console(stderr=True, highlight=False)
    columns = (TextColumn("filling"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task("filling", total=None)

        def show(read: int, end: int) -> None:
            progress.update(task, completed=read, total=end)

        def above_the_bar(step: str) -> None:
            console.print(f"step: {step}")

        async with _opened(worker, above_the_bar, show) as (rebuild, _):
            return await rebuild.run(switch_anyway=switch_anyway)


async def _remove(worker: Worker, *, abort: bool) -> list[str]:
    async with _opened(worker, say, lambda read, end: None) as (rebuild, state):
        if abort:
            if state == "switched":
                _refuse("it is switched already: remove the former objects with --drop-old", NOT_DONE)
            return await rebuild.abort()
        if state == "building":
            _refuse("the new objects are not in use yet: run the command without --drop-old first", NOT_DONE)
        return await rebuild.drop_old() if state == "switched" else []


@asynccontextmanager
async def _opened(worker: Worker, say: Any, show: Any) -> AsyncIterator[tuple[Rebuild, State]]:
    settings: Any = worker.settings()
    assert worker.beside is not None
    beside = worker.beside(settings)
    try:
        yield Rebuild(worker, settings, beside, say, show), await beside.state()
    finally:
        await beside.close()


def _lines(store: str, report: Report) -> list[str]:
    if not report.switched:
        shown = [f"{one.kind} {one.id}: {one.difference}: {one.detail}" for one in report.wrong[:WRONG_SHOWN]]
        more = len(report.wrong) - len(shown)
        return [
            *shown,
            *([f"and {more:,} more"] if more else []),
            f"{len(report.wrong):,} differences: nothing is switched. Call it again, or end it with --abort",
        ]
    if not report.built:
        return [f"{store} was switched before; for another rebuild run `headrace rebuild {store} --drop-old` first"]
    taken = report.taken
    return [
        *report.lines,
        f"taken over: {taken.tombstones:,} deletes and {taken.versions:,} versions that the topics have forgotten, "
        f"{report.links:,} link sets; left out: {taken.left:,} live entities that the topics do not have",
        f"{store} is rebuilt and in use; the former objects are kept until `headrace rebuild {store} --drop-old`",
    ]


def _object(report: Report) -> dict[str, Any]:
    taken = report.taken
    return {
        "switched": report.switched,
        "built": report.built,
        "records": dict(report.outcomes),
        "links": report.links,
        "taken_over": {"tombstones": taken.tombstones, "versions": taken.versions},
        "left_out": taken.left,
        "changes": report.lines,
        "differences": [
            {"kind": one.kind, "id": one.id, "difference": str(one.difference), "detail": one.detail}
            for one in report.wrong
        ],
    }


def _print(value: dict[str, Any], as_json: bool, lines: list[str]) -> None:
    if as_json:
        typer.echo(json.dumps(value, indent=2))
    else:
        for line in lines:
            typer.echo(line)


def _refuse(line: str, status: int) -> NoReturn:
    typer.echo(f"headrace: {line}", err=True)
    raise typer.Exit(status)
