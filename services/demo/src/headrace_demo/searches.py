"""Three searches in every store, and two in languages that the default model does not support."""

from collections.abc import AsyncIterator, Mapping

import numpy as np
from numpy.typing import NDArray
from rich.table import Table

from headrace_cli.hit_table import hit_table
from headrace_cli.store_search import search, stores_vectors
from headrace_worker.store import Query, Store
from headrace_worker.worker import load_worker

ENGLISH = ("warm winter jacket", "dinosaur puzzle for kids", "wireless headphones for commuting")
OTHER_LANGUAGES = ("방수 텐트", "ロボット掃除機")
"""A waterproof tent, a robot vacuum. Only for stores that search by words, because the default model is English."""
HITS = 3


async def search_tables(stores: Mapping[str, Store], vectors: NDArray[np.float32]) -> AsyncIterator[Table]:
    """A table for each search. `vectors`: (3, d), those of `ENGLISH`."""
    for text, vector in zip(ENGLISH, vectors, strict=True):
        query = Query(text, limit=HITS, vector=vector.tolist())
        yield hit_table([(name, await search(store, query)) for name, store in stores.items()], "product", text)
    lexical = {name: store for name, store in stores.items() if not stores_vectors(load_worker(name))}
    for text in OTHER_LANGUAGES:
        found = [(name, await search(store, Query(text, limit=HITS))) for name, store in lexical.items()]
        yield hit_table(found, "product", text)
