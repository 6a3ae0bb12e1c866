"""Searches a store."""

import asyncio
from dataclasses import asdict
from typing import Annotated

import typer

from headrace_cli.hit_table import hit_table
from headrace_cli.options import AsJson
from headrace_cli.output import print_json, screen
from headrace_cli.store_search import query_vectors, stores_vectors
from headrace_cli.store_search import search as search_store
from headrace_cli.worker_stores import installed_worker, open_store
from headrace_schemas.fields import Kind
from headrace_worker.opened_stores import workers
from headrace_worker.store import Hit, Query

app = typer.Typer(rich_markup_mode="markdown", add_completion=False)


def _complete(incomplete: str) -> list[str]:
    return [worker.name for worker in workers() if worker.name.startswith(incomplete) and worker.store is not None]


@app.command()
def search(
    text: Annotated[str, typer.Argument(help="What to look for.")],
    store: Annotated[
        str, typer.Option("--in", metavar="STORE", help="qdrant, elasticsearch or pgvector.", autocompletion=_complete)
    ] = "qdrant",
    kind: Annotated[Kind, typer.Option(help="Products or keywords.")] = "product",
    limit: Annotated[int, typer.Option(min=1, max=1000)] = 10,
    as_json: AsJson = False,
) -> None:
    """Search one store: by meaning in Qdrant and pgvector, with the model that built the index; by words in
    Elasticsearch.
    """
    hits = asyncio.run(_search(store, text, kind, limit))
    if as_json:
        print_json([asdict(hit) for hit in hits])
    elif not hits:
        screen().print(f"no {kind} found")
    else:
        screen().print(hit_table([(store, hits)], kind))


async def _search(name: str, text: str, kind: Kind, limit: int) -> list[Hit]:
    async with open_store(name) as store:
        vector = (await query_vectors([text]))[0].tolist() if stores_vectors(installed_worker(name)) else None
        return await search_store(store, Query(text, kind, limit, vector))
