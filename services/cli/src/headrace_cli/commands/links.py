"""Shows links."""

import asyncio
from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated

import typer
from rich.table import Table

from headrace_cli.errors import NOT_DONE, WRONG_CALL, CommandError
from headrace_cli.options import AsJson
from headrace_cli.output import inert, print_json, screen, table
from headrace_cli.worker_stores import link_store_names, open_link_store
from headrace_schemas.links import ProductLinks
from headrace_worker.store import LinkedProduct

app = typer.Typer(rich_markup_mode="markdown", add_completion=False)


def _complete(incomplete: str) -> list[str]:
    return [name for name in link_store_names() if name.startswith(incomplete)]


@app.command()
def links(
    product_id: Annotated[str | None, typer.Argument(help="The product whose keywords to show.")] = None,
    keyword: Annotated[
        str | None, typer.Option("--keyword", metavar="KEYWORD_ID", help="The keyword whose products to show.")
    ] = None,
    store: Annotated[
        str, typer.Option("--in", metavar="STORE", help="elasticsearch, pgvector or link.", autocompletion=_complete)
    ] = "elasticsearch",
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="With --keyword: the most products to show.")] = 20,
    as_json: AsJson = False,
) -> None:
    """Show the keywords that a product is linked to, or the products that a keyword is linked to, best first.

    Exit status 1 if the store has no links of the product: it was never published, or it is not linked yet.
    """
    if (product_id is None) == (keyword is None):
        raise CommandError("give either a product's id or --keyword KEYWORD_ID", WRONG_CALL)
    if product_id is not None:
        _show_keywords(asyncio.run(_links_of(store, product_id)), as_json)
    elif keyword is not None:
        _show_products(keyword, asyncio.run(_products_of(store, keyword, limit)), as_json)


def _show_keywords(links: ProductLinks, as_json: bool) -> None:
    if as_json:
        print_json(links.model_dump())
    elif links.deleted:
        screen().print(inert(f"{links.product_id} is deleted and has no links"))
    else:
        screen().print(inert(f"{links.product_id}  {links.title}", "bold"), _keywords_table(links))


def _show_products(keyword_id: str, found: Sequence[LinkedProduct], as_json: bool) -> None:
    if as_json:
        print_json([asdict(product) for product in found])
    elif not found:
        screen().print(inert(f"no product is linked to {keyword_id}"))
    else:
        screen().print(_products_table(found))


def _keywords_table(links: ProductLinks) -> Table:
    """One row for each keyword of a product."""
    shown = table("rank", "score", "keyword", "text", right=("rank", "score"))
    for link in links.links:
        shown.add_row(str(link.rank), f"{link.score:.3f}", inert(link.keyword_id), inert(link.text))
    return shown


def _products_table(found: Sequence[LinkedProduct]) -> Table:
    shown = table("rank", "score", "product", "title", right=("rank", "score"))
    for product in found:
        shown.add_row(str(product.rank), f"{product.score:.3f}", inert(product.product_id), inert(product.title))
    shown.caption = "rank: the keyword's place among the product's links"
    return shown


async def _links_of(name: str, product_id: str) -> ProductLinks:
    async with open_link_store(name) as store:
        stored = await store.links_of([product_id])
    if product_id not in stored:
        raise CommandError(f"{name} has no links of {product_id[:80]!r}", NOT_DONE)
    return stored[product_id]


async def _products_of(name: str, keyword_id: str, limit: int) -> list[LinkedProduct]:
    async with open_link_store(name) as store:
        return await store.products_of(keyword_id, limit)
