"""Three searches in each store, and two in languages that the default model does not know."""

from collections.abc import AsyncIterator, Mapping

import numpy as np
from numpy.typing import NDArray
from rich.table import Table

from headrace_cli.hit_table import hits_table
from headrace_cli.store_search import holds_vectors, search
from headrace_worker.store import Query, Store
from headrace_worker.worker import load_worker

ENGLISH = ("warm winter jacket", "dinosaur puzzle for kids", "wireless headphones for commuting")
BY_WORDS = ("방수 텐트", "ロボット掃除機")
"""A waterproof tent, a robot vacuum; for stores that search by words: the default model is English."""
HITS = 3


async def search_tables(stores: Mapping[str, Store], vectors: NDArray[np.float32]) -> AsyncIterator[Table]:
    """A table for each search. `vectors`: (3, d), those of `ENGLISH`."""
    for text, vector in zip(ENGLISH, vectors, strict=True):
        query = Query(text, limit=HITS, vector=vector.tolist())
        yield hits_table([(name, await search(store, query)) for name, store in stores.items()], "product", text)
    by_words = {name: store for name, store in stores.items() if not holds_vectors(load_worker(name))}
    for text in BY_WORDS:
        found = [(name, await search(store, Query(text, limit=HITS))) for name, store in by_words.items()]
        yield hits_table(found, "product", text)
