"""Search results as a table."""

from collections.abc import Sequence

from rich.table import Table

from headrace_cli.output import inert
from headrace_schemas.fields import Kind
from headrace_shared.store import Hit

COLUMNS: dict[Kind, tuple[str, ...]] = {
    "product": ("title", "brand", "price", "currency", "locale"),
    "keyword": ("text", "popularity", "locale"),
}


def hits_table(hits: Sequence[Hit], kind: Kind, title: str | None = None) -> Table:
    """One row for each result, best first. `score` is the store's own and compares only within one search."""
    names = COLUMNS[kind]
    table = Table("", "score", "id", *names, title=title, title_justify="left")
    for place, hit in enumerate(hits, 1):
        values = (hit.fields.get(name) for name in names)
        cells = ("" if value is None else f"{value:,g}" if isinstance(value, float) else str(value) for value in values)
        table.add_row(str(place), f"{hit.score:.3f}", inert(hit.id), *map(inert, cells))
    return table
