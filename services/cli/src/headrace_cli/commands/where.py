"""Shows where the newest version of one entity is."""

import asyncio
from functools import partial
from typing import Annotated

import typer

from headrace_cli.errors import NOT_DONE
from headrace_cli.journey_object import journey_object
from headrace_cli.journey_text import print_journey
from headrace_cli.options import AsJson, OfKind
from headrace_cli.output import print_json
from headrace_clients.worker_conditions import worker_conditions
from headrace_letters.index import open_index
from headrace_letters.index_settings import IndexSettings
from headrace_letters.installed_stores import open_installed_stores
from headrace_letters.journey import Journey
from headrace_letters.journey_reading import Depth, EntityReader
from headrace_schemas.fields import Kind

app = typer.Typer(rich_markup_mode="markdown", add_completion=False)
DEPTH = Depth(published=20_000, receipts=5000, seconds=10.0)


@app.command()
def where(
    id: Annotated[str, typer.Argument(metavar="ID", help="The id of a product or keyword.")],
    kind: OfKind = "product",
    as_json: AsJson = False,
) -> None:
    """Show where the newest version of an entity is: when it occurred and was published, what became of it at each
    worker, what each store has and whether a search finds it, its links, and what is missing and why.

    Milliseconds count from publication. The source topic and the receipts are read from their end, the last 20,000 and
    5,000 records of each partition, for at most 10 s; older versions are known from the stores.

    Exit status 0 if every worker has settled the newest version and a search in every store finds it, or for a delete
    no search finds it; 1 if anything is missing or not known, also if the entity is not known at all.
    """
    found = asyncio.run(_read(kind, id))
    if as_json:
        print_json(journey_object(found))
    else:
        print_journey(found)
    if found.missing:
        raise typer.Exit(NOT_DONE)


async def _read(kind: Kind, id: str) -> Journey:
    settings = IndexSettings()
    async with open_index(settings) as index, open_installed_stores() as stores:
        reader = EntityReader(settings, stores, index, partial(worker_conditions, settings), DEPTH)
        return await reader.read(kind, id)
