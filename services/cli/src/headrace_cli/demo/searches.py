"""Three searches in each store, and two in the languages that the default model does not know."""

from collections.abc import AsyncIterator, Mapping

from rich.table import Table

from headrace_cli.hits import hits_table
from headrace_cli.searching import holds_vectors
from headrace_shared.query_vectors import query_vectors
from headrace_shared.store import Query, Store
from headrace_shared.worker import load_worker

ENGLISH = ("warm winter jacket", "dinosaur puzzle for kids", "wireless headphones for commuting")
BY_WORDS = ("방수 텐트", "ロボット掃除機")
"""A waterproof tent, a robot vacuum; for stores that search by words: the default model is English."""
HITS = 3


async def search_tables(stores: Mapping[str, Store]) -> AsyncIterator[Table]:
    """A table for each search in each store."""
    vectors = await query_vectors(ENGLISH)
    for name, store in stores.items():
        if holds_vectors(load_worker(name)):
            queries = [Query(text, limit=HITS, vector=row.tolist()) for text, row in zip(ENGLISH, vectors, strict=True)]
        else:
            queries = [Query(text, limit=HITS) for text in (*ENGLISH, *BY_WORDS)]
        for query in queries:
            yield hits_table(await store.search(query), "product", title=f"{name}: {query.text}")
