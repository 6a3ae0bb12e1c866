"""Search results as a table."""

from collections.abc import Sequence
from typing import Any

from rich.table import Table

from headrace_cli.output import inert, table
from headrace_schemas.fields import Kind
from headrace_worker.store import Hit

COLUMNS: dict[Kind, tuple[str, ...]] = {
    "product": ("title", "price", "locale"),
    "keyword": ("text", "popularity", "locale"),
}


def hit_table(found: Sequence[tuple[str, Sequence[Hit]]], kind: Kind, title: str | None = None) -> Table:
    """The results of each (store, results), best first. Scores of different stores or searches do not compare."""
    shown = table("", "", "score", "id", *COLUMNS[kind], title=title, right=("score", "price", "popularity"))
    for store, hits in found:
        for place, hit in enumerate(hits, 1):
            cells = (inert(_cell(name, hit.fields)) for name in COLUMNS[kind])
            shown.add_row(store if place == 1 else "", str(place), f"{hit.score:.3f}", inert(hit.id), *cells)
    return shown


def _cell(name: str, fields: dict[str, Any]) -> str:
    value = fields.get(name)
    if isinstance(value, int | float):
        shown = f"{value:,.2f}".removesuffix(".00")
        return f"{shown} {fields.get('currency') or ''}".rstrip() if name == "price" else shown
    return "" if value is None else str(value)
