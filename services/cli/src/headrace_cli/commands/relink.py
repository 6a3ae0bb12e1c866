"""Computes links again."""

import asyncio
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from headrace_cli.errors import NOT_DONE, WRONG_CALL, CommandError
from headrace_cli.options import AsJson
from headrace_cli.output import messages, print_json, screen
from headrace_cli.relink_requests import publish_requests, requests_for, until_answered
from headrace_clients.completion import Incomplete
from headrace_clients.topic_reader import partitions_of
from headrace_schemas.links import RelinkRequest, Sweep
from headrace_worker.settings import CommonSettings

app = typer.Typer(rich_markup_mode="markdown", add_completion=False)


@app.command()
def relink(
    all_products: Annotated[
        bool, typer.Option("--all", help="Every product: a sweep, which is followed to its end.")
    ] = False,
    products: Annotated[
        list[str] | None, typer.Option("--product", metavar="PRODUCT_ID", help="This product; may be repeated.")
    ] = None,
    timeout: Annotated[float, typer.Option(min=0, help="With --all: seconds to follow the sweep.")] = 3600.0,
    as_json: AsJson = False,
) -> None:
    """Compute links again from the current products and keywords, and publish them even if they have not changed.

    Links follow every change without this command. Use it after a change of the settings of the worker `link`, if a
    store has lost links, or to be sure. Exit status 1 if a sweep is not done in time; it goes on, and `headrace wait`
    waits for it.
    """
    if all_products == bool(products):
        raise CommandError("give either --all or --product PRODUCT_ID", WRONG_CALL)
    if all_products:
        _sweep(timeout, as_json)
    else:
        _request(products or [], as_json)


def _request(product_ids: list[str], as_json: bool) -> None:
    requests = requests_for(product_ids)
    asyncio.run(_publish(CommonSettings(), requests))
    if as_json:
        print_json({"requested": [request.product_id for request in requests]})
    else:
        noun = "product" if len(requests) == 1 else "products"
        screen().print(f"asked for the links of {len(requests):,} {noun}; `headrace wait` waits for them")


def _sweep(timeout: float, as_json: bool) -> None:
    done = asyncio.run(_follow_sweep(timeout, messages()))
    if as_json:
        print_json({"done": done})
    elif done:
        screen().print("the links of every product are published again; `headrace wait` waits for the stores")
    if not done:
        messages().print(f"after {timeout:g} s: check that `link` runs, with `headrace work`; the sweep goes on")
        raise typer.Exit(NOT_DONE)


async def _follow_sweep(timeout: float, console: Console) -> bool:
    """Whether every product is linked again in time."""
    settings = CommonSettings()
    await _publish(settings, [Sweep(republish=True)])
    columns = (TextColumn("linking"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        task, most = progress.add_task("linking", total=None), 0

        def show(left: int) -> None:
            nonlocal most
            most = max(most, left)
            progress.update(task, total=most, completed=most - left)

        try:
            await until_answered(settings, timeout, show)
        except Incomplete:
            return False
    return True


async def _publish(settings: CommonSettings, requests: list[Sweep] | list[RelinkRequest]) -> None:
    await partitions_of(settings.kafka, [settings.topics.relink])
    await publish_requests(settings, requests)
