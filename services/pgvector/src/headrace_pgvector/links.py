"""How the link sets of products are replaced and read."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from operator import itemgetter

import asyncpg

from headrace_clients.postgres import Connection
from headrace_pgvector.fence import FencedTable, Kept
from headrace_schemas.links import Link, ProductLinks

SETS = FencedTable("product_links", ("product_id", "title"))
"""One row for each product: the fence of its link set, and the lock under which the set is replaced."""
LINKS = "product_keywords"
"""One row for each link."""
LINK_COLUMNS = ("product_id", "keyword_id", "text", "score", "rank")

REMOVE = f"DELETE FROM {LINKS} WHERE product_id = ANY($1)"  # noqa: S608

_JOINED = f"""
    SELECT s.product_id, s.title, s.version, s.deleted_at IS NOT NULL AS deleted, k.keyword_id, k.text, k.score, k.rank
    FROM {{sets}} s LEFT JOIN {LINKS} k USING (product_id)
    ORDER BY s.product_id, k.rank
"""  # noqa: S608
SETS_OF = _JOINED.format(sets=f"(SELECT * FROM {SETS.name} WHERE product_id = ANY($1))")  # noqa: S608
"""$1: product ids. A row for each link, and one row for a set without links."""
PAGE_OF_SETS = _JOINED.format(
    sets=f"(SELECT * FROM {SETS.name} WHERE product_id > $1 ORDER BY product_id LIMIT $2)"  # noqa: S608
)
"""$1: the last product id of the page before; $2: the number of sets in a page."""
PRODUCTS_OF = f"""
    SELECT s.product_id, s.title, k.rank, k.score
    FROM {LINKS} k JOIN {SETS.name} s USING (product_id)
    WHERE k.keyword_id = $1 ORDER BY k.score DESC, k.product_id LIMIT $2
"""  # noqa: S608
"""$1: a keyword id; $2: the limit. A deleted product has no links, so it is not among the rows."""


async def replace_sets(connection: Connection, sets: Sequence[ProductLinks]) -> dict[str, Kept]:
    """Replaces the sets that are older than these, each as a whole, within the connection's transaction.

    Returns what is stored of each set that was not written.
    """
    await connection.copy_records_to_table(
        SETS.incoming,
        schema_name="pg_temp",
        columns=SETS.incoming_columns,
        records=[(links.product_id, links.title, links.version, links.deleted) for links in sets],
    )
    # This locks the rows of these products, which protects their links too.
    written = {row[0]: row[1] for row in await connection.fetch(SETS.write_newer)}
    if updated := [id for id, is_new in written.items() if not is_new]:
        await connection.execute(REMOVE, updated)
    await connection.copy_records_to_table(
        LINKS,
        columns=LINK_COLUMNS,
        records=[row for links in sets if links.product_id in written for row in link_rows(links)],
    )
    kept = [links.product_id for links in sets if links.product_id not in written]
    rows = await connection.fetch(SETS.versions, kept) if kept else []
    return {row[0]: Kept(row[1]) for row in rows}


def link_rows(links: ProductLinks) -> Iterator[tuple[object, ...]]:
    """The rows of one set, in the order of `LINK_COLUMNS`."""
    return ((links.product_id, link.keyword_id, link.text, link.score, link.rank) for link in links.links)


def stored_sets(rows: Iterable[asyncpg.Record]) -> Iterator[ProductLinks]:
    """The link sets in rows of `SETS_OF` or `PAGE_OF_SETS`, as they are stored, without validation."""
    for product_id, group in groupby(rows, itemgetter("product_id")):
        first, *others = group
        linked = [row for row in (first, *others) if row["keyword_id"] is not None]
        yield ProductLinks.model_construct(
            product_id=product_id,
            version=first["version"],
            deleted=first["deleted"],
            title=first["title"],
            links=tuple(Link.model_construct(**{name: row[name] for name in LINK_COLUMNS[1:]}) for row in linked),
        )
