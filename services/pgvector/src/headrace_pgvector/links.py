"""How the link sets of products are replaced and read. Each model has its own: scores of two cannot be compared."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby
from operator import itemgetter

import asyncpg

from headrace_clients.postgres import Connection
from headrace_pgvector.fence import FencedTable, Kept
from headrace_schemas.canary import CANARY_ID
from headrace_schemas.links import Link, ProductLinks

SETS = "product_links"
LINKS = "product_keywords"
LINK_COLUMNS = ("product_id", "keyword_id", "text", "score", "rank")


@dataclass(frozen=True)
class LinkTables:
    """The tables of one model's link sets, and the statements that read and write them."""

    model: str

    @cached_property
    def sets(self) -> FencedTable:
        """One row for each product: the fence of its link set, and the lock under which the set is replaced."""
        return FencedTable(f"{SETS}__{self.model}", ("product_id", "title"))

    @property
    def links_name(self) -> str:
        """One row for each link. The name without quotes."""
        return f"{LINKS}__{self.model}"

    @property
    def links(self) -> str:
        return f'"{self.links_name}"'

    @property
    def remove(self) -> str:
        """$1: product ids."""
        return f"DELETE FROM {self.links} WHERE product_id = ANY($1)"  # noqa: S608

    @property
    def sets_of(self) -> str:
        """$1: product ids. A row for each link, and one row for a set without links."""
        return self._joined(f"SELECT * FROM {self.sets.table} WHERE product_id = ANY($1)")  # noqa: S608

    @property
    def page_of_sets(self) -> str:
        """$1: the last product id of the page before; $2: the number of sets in a page."""
        return self._joined(f"SELECT * FROM {self.sets.table} WHERE product_id > $1 ORDER BY product_id LIMIT $2")  # noqa: S608

    @property
    def products_of(self) -> str:
        """$1: a keyword id; $2: the limit. The set of the canary has links, and is marked as deleted."""
        return f"""
            SELECT s.product_id, s.title, k.rank, k.score
            FROM {self.links} k JOIN {self.sets.table} s USING (product_id)
            WHERE k.keyword_id = $1 AND s.deleted_at IS NULL ORDER BY k.score DESC, k.product_id LIMIT $2
        """  # noqa: S608

    @property
    def product_count(self) -> str:
        """$1: a keyword id. The canary is no product of users."""
        return f"SELECT count(*) FROM {self.links} WHERE keyword_id = $1 AND product_id <> '{CANARY_ID}'"  # noqa: S608

    @property
    def text_of_link(self) -> str:
        """$1: a product id; $2: a keyword id."""
        return f"SELECT text FROM {self.links} WHERE product_id = $1 AND keyword_id = $2"  # noqa: S608

    def _joined(self, sets: str) -> str:
        return f"""
            SELECT s.product_id, s.title, s.version, s.deleted_at IS NOT NULL AS deleted,
            k.keyword_id, k.text, k.score, k.rank
            FROM ({sets}) s LEFT JOIN {self.links} k USING (product_id)
            ORDER BY s.product_id, k.rank
        """  # noqa: S608


async def replace_sets(connection: Connection, tables: LinkTables, sets: Sequence[ProductLinks]) -> dict[str, Kept]:
    """Replaces the sets that are older than these, each as a whole, within the connection's transaction.

    Returns what is stored of each set that was not written.
    """
    await connection.copy_records_to_table(
        tables.sets.incoming,
        schema_name="pg_temp",
        columns=tables.sets.incoming_columns,
        records=[set_row(links) for links in sets],
    )
    # This locks the rows of these products, which protects their links too.
    written = {row[0]: row[1] for row in await connection.fetch(tables.sets.write_newer)}
    if updated := [id for id, is_new in written.items() if not is_new]:
        await connection.execute(tables.remove, updated)
    await connection.copy_records_to_table(
        tables.links_name,
        columns=LINK_COLUMNS,
        records=[row for links in sets if links.product_id in written for row in link_rows(links)],
    )
    kept = [links.product_id for links in sets if links.product_id not in written]
    rows = await connection.fetch(tables.sets.versions, kept) if kept else []
    return {row[0]: Kept(row[1]) for row in rows}


def set_row(links: ProductLinks) -> tuple[object, ...]:
    """The row of one set. That of the canary is the row of a deleted product, beside its links."""
    hidden = links.deleted or links.product_id == CANARY_ID
    return (links.product_id, None if hidden else links.title, links.version, hidden)


def link_rows(links: ProductLinks) -> Iterator[tuple[object, ...]]:
    """The rows of one set, in the order of `LINK_COLUMNS`."""
    return ((links.product_id, link.keyword_id, link.text, link.score, link.rank) for link in links.links)


def stored_sets(rows: Iterable[asyncpg.Record]) -> Iterator[ProductLinks]:
    """The link sets in rows of `sets_of` or `page_of_sets`, as they are stored, without validation."""
    for product_id, group in groupby(rows, itemgetter("product_id")):
        first, *others = group
        linked = [row for row in (first, *others) if row["keyword_id"] is not None and not row["deleted"]]
        yield ProductLinks.model_construct(
            product_id=product_id,
            version=first["version"],
            deleted=first["deleted"],
            title=first["title"],
            links=tuple(Link.model_construct(**{name: row[name] for name in LINK_COLUMNS[1:]}) for row in linked),
        )
