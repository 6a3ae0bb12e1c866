"""Searches a store."""

import asyncio
from dataclasses import asdict
from typing import Annotated

import typer

from headrace_cli.errors import WRONG_CALL, CommandError
from headrace_cli.hit_table import hits_table
from headrace_cli.options import AsJson
from headrace_cli.output import print_json, screen
from headrace_cli.store_search import embedded, holds_vectors
from headrace_cli.store_search import search as find
from headrace_schemas.fields import Kind
from headrace_worker.store import Hit, Query
from headrace_worker.worker import load_worker, worker_names

app = typer.Typer(rich_markup_mode="markdown", add_completion=False)


def _complete(incomplete: str) -> list[str]:
    return [name for name in worker_names() if name.startswith(incomplete) and load_worker(name).store is not None]


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
        screen().print(hits_table([(store, hits)], kind))


async def _search(name: str, text: str, kind: Kind, limit: int) -> list[Hit]:
    try:
        worker = load_worker(name)
    except LookupError as error:
        raise CommandError(str(error), WRONG_CALL) from None
    if worker.store is None:
        raise CommandError(f"the worker {name} keeps no store to search", WRONG_CALL)
    vector = (await embedded([text]))[0].tolist() if holds_vectors(worker) else None
    store = worker.store(worker.settings())
    try:
        return await find(store, Query(text, kind, limit, vector))
    finally:
        await store.close()
