"""Searches in one store, or in two together. The text becomes a vector where the store compares vectors.

The installed package that embeds provides a function through the entry-point group `headrace.query_embedder`. It takes
texts and returns (n, d) float32, L2-normalised, computed with the settings' model and its query prefix; it raises
Unavailable.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from importlib.metadata import entry_points

import numpy as np
from numpy.typing import NDArray

from headrace_cli.errors import CommandError
from headrace_cli.worker_stores import installed_worker, open_store
from headrace_schemas.embedded import Embedded
from headrace_worker.fusion import CANDIDATES, Fusion, fused
from headrace_worker.store import Hit, Query, Store
from headrace_worker.worker import Worker

ENTRY_POINT_GROUP = "headrace.query_embedder"


def stores_vectors(worker: Worker) -> bool:
    """Whether the worker's store contains vectors: the worker reads records that have one."""
    return any(issubclass(record, Embedded) for record in worker.inputs(worker.settings()).values())


async def query_vectors(texts: Sequence[str]) -> NDArray[np.float32]:
    """(n, d) float32, L2-normalised: the texts as queries. Raises Unavailable, CommandError if there is no model."""
    try:
        for entry_point in entry_points(group=ENTRY_POINT_GROUP):
            embed = entry_point.load()
            vectors: NDArray[np.float32] = await embed(texts)
            return vectors
    except (ValueError, RuntimeError, LookupError) as error:
        raise CommandError(f"the model: {error}") from error
    raise CommandError("the model: no installed package embeds queries; headrace-embed does")


async def search(store: Store, query: Query) -> list[Hit]:
    """The store's answer. Raises Unavailable, CommandError if the index was built with another model."""
    try:
        return await store.search(query)
    except ValueError as error:
        raise CommandError(str(error)) from error


async def search_text(name: str, query: Query) -> list[Hit]:
    """The answer of one worker's store; the query comes without its vector. Raises as `search` and `query_vectors`."""
    async with open_store(name) as store:
        return await search(store, await _with_vector(query, [name]))


async def search_both(names: tuple[str, str], query: Query, fusion: Fusion, weight: float) -> list[Hit]:
    """One ranking of two stores, which are asked at the same time. `weight`: of the first, 0 to 1. Raises the same."""
    first, second = names
    async with open_store(first) as one, open_store(second) as other:
        wide = await _with_vector(replace(query, limit=max(query.limit, CANDIDATES)), names)
        of_first, of_second = await asyncio.gather(search(one, wide), search(other, wide))
    weights = {first: weight, second: 1 - weight}
    return fused({first: of_first, second: of_second}, fusion, weights)[: query.limit]


async def _with_vector(query: Query, names: Sequence[str]) -> Query:
    """The query for the stores of these workers: with its vector if one of them compares vectors."""
    if not any(stores_vectors(installed_worker(name)) for name in names):
        return query
    return replace(query, vector=(await query_vectors([query.text]))[0].tolist())
