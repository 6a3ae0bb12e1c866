"""Searches one store, or two together."""

import asyncio
from dataclasses import asdict
from typing import Annotated

import typer

from headrace_cli.errors import WRONG_CALL, CommandError
from headrace_cli.hit_table import hit_table
from headrace_cli.options import AsJson
from headrace_cli.output import print_json, screen
from headrace_cli.store_search import search_both, search_text
from headrace_schemas.fields import Kind
from headrace_worker.fusion import Fusion
from headrace_worker.opened_stores import workers
from headrace_worker.store import Filters, Hit, Query

app = typer.Typer(rich_markup_mode="markdown", add_completion=False)


def _complete(incomplete: str) -> list[str]:
    return [worker.name for worker in workers() if worker.name.startswith(incomplete) and worker.store is not None]


@app.command()
def search(
    text: Annotated[str, typer.Argument(help="What to look for.")],
    store: Annotated[
        str,
        typer.Option(
            "--in",
            metavar="STORE",
            help="qdrant, elasticsearch or pgvector, or two of them: qdrant+elasticsearch.",
            autocompletion=_complete,
        ),
    ] = "qdrant",
    kind: Annotated[Kind, typer.Option(help="Products or keywords.")] = "product",
    limit: Annotated[int, typer.Option(min=1, max=1000)] = 10,
    locale: Annotated[str | None, typer.Option(help="Only entities with this locale.")] = None,
    brand: Annotated[str | None, typer.Option(help="Only products of this brand.")] = None,
    category: Annotated[str | None, typer.Option(help="Only products of this category.")] = None,
    min_price: Annotated[float | None, typer.Option(help="Only products at this price or more.")] = None,
    max_price: Annotated[float | None, typer.Option(help="Only products at this price or less.")] = None,
    fusion: Annotated[Fusion, typer.Option(help="How one ranking is made of two.")] = "weighted",
    weight: Annotated[
        int, typer.Option(min=0, max=100, metavar="PERCENT", help="Weight of the first of two stores.")
    ] = 50,
    as_json: AsJson = False,
) -> None:
    """Search one store: by meaning in Qdrant and pgvector, with the model that built the index; by words in
    Elasticsearch. Or search two, and make one ranking of their answers.

    A filter compares the whole text of the field.
    """
    filters = Filters(locale, brand, category, min_price, max_price)
    _check(filters, kind)
    hits = asyncio.run(_search(store, Query(text, kind, limit, filters=filters), fusion, weight / 100))
    if as_json:
        print_json([asdict(hit) for hit in hits])
    elif not hits:
        screen().print(f"no {kind} found")
    else:
        screen().print(hit_table([(store, hits)], kind))


async def _search(named: str, query: Query, fusion: Fusion, weight: float) -> list[Hit]:
    first, *others = named.split("+")
    if not others:
        return await search_text(first, query)
    if len(others) > 1 or others == [first]:
        raise CommandError(f"--in takes one store, or two different ones, and not {named!r}", WRONG_CALL)
    return await search_both((first, others[0]), query, fusion, weight)


def _check(filters: Filters, kind: Kind) -> None:
    """Raises CommandError for a filter that finds nothing whatever is stored."""
    of_products = {"brand", "category"} & filters.texts.keys() or filters.has_prices
    if kind == "keyword" and of_products:
        raise CommandError("keywords have no brand, category or price: filter them by --locale", WRONG_CALL)
    lowest, highest = filters.min_price, filters.max_price
    if lowest is not None and highest is not None and lowest > highest:
        raise CommandError(f"--min-price {lowest:g} is above --max-price {highest:g}", WRONG_CALL)
