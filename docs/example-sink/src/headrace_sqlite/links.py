"""The link sets of products: how one is replaced, and how they are read.

The row of a set in `entities` has its version and title. Its links are rows of a table of their own. They are replaced
only in the transaction that writes the set's row, so that readers see one set or another and never parts of two.
"""

import sqlite3
from collections.abc import Iterable, Iterator
from itertools import groupby
from operator import itemgetter
from typing import Any

from headrace_schemas.fields import MAX_ID_BYTES
from headrace_schemas.links import Link, ProductLinks
from headrace_worker.store import LinkedProduct

TABLE = f"""
    CREATE TABLE IF NOT EXISTS links (
        product_id TEXT NOT NULL,
        keyword_id TEXT NOT NULL CONSTRAINT id_length CHECK (length(CAST(keyword_id AS BLOB)) <= {MAX_ID_BYTES}),
        text TEXT NOT NULL,
        score REAL NOT NULL,
        rank INTEGER NOT NULL,
        PRIMARY KEY (product_id, rank)
    ) WITHOUT ROWID
"""
INDEX = "CREATE INDEX IF NOT EXISTS links_by_keyword ON links (keyword_id, rank)"
REMOVE = "DELETE FROM links WHERE product_id = ?"
INSERT = "INSERT INTO links (product_id, keyword_id, text, score, rank) VALUES (?, ?, ?, ?, ?)"

SETS = """
    SELECT s.id, s.version, s.deleted, s.fields ->> 'title', l.keyword_id, l.text, l.score, l.rank
    FROM ({sets}) s LEFT JOIN links l ON l.product_id = s.id
    ORDER BY s.id, l.rank
"""
SETS_OF = SETS.format(
    sets="SELECT * FROM entities WHERE kind = 'product_links' AND id IN (SELECT value FROM json_each(?))"
)
PAGE_OF_SETS = SETS.format(sets="SELECT * FROM entities WHERE kind = 'product_links' AND id > ? ORDER BY id LIMIT 1000")
PRODUCTS_OF = """
    SELECT s.id, s.fields ->> 'title', l.rank, l.score
    FROM links l JOIN entities s ON s.kind = 'product_links' AND s.id = l.product_id
    WHERE l.keyword_id = ? ORDER BY l.score DESC, s.id LIMIT ?
"""
PRODUCT_COUNT = "SELECT count(*) FROM links WHERE keyword_id = ?"


def replace_links(connection: sqlite3.Connection, links: ProductLinks) -> None:
    """Replaces the links of a set with those of this version, within the connection's transaction."""
    connection.execute(REMOVE, (links.product_id,))
    connection.executemany(
        INSERT, [(links.product_id, link.keyword_id, link.text, link.score, link.rank) for link in links.links]
    )


def stored_sets(rows: Iterable[tuple[Any, ...]]) -> Iterator[ProductLinks]:
    """The link sets in rows of `SETS_OF` or `PAGE_OF_SETS`; a set without links has one row."""
    for product_id, of_set in groupby(rows, itemgetter(0)):
        first, *others = of_set
        _, version, deleted, title, *_ = first
        links = [row[4:] for row in (first, *others) if row[4] is not None]
        yield ProductLinks.model_construct(
            product_id=product_id,
            version=version,
            deleted=bool(deleted),
            title=title,
            links=tuple(
                Link.model_construct(keyword_id=keyword_id, text=text, score=score, rank=rank)
                for keyword_id, text, score, rank in links
            ),
        )


def linked_products(rows: Iterable[tuple[Any, ...]]) -> list[LinkedProduct]:
    """Rows of `PRODUCTS_OF`."""
    return [LinkedProduct(*row) for row in rows]
