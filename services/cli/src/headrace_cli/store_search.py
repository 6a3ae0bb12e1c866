"""Searches one store, with a vector where the store finds by vectors."""

from collections.abc import Sequence
from importlib.metadata import entry_points

import numpy as np
from numpy.typing import NDArray

from headrace_cli.errors import CommandError
from headrace_schemas.embedded import Embedded
from headrace_worker.store import Hit, Query, Store
from headrace_worker.worker import Worker

ENTRY_POINT_GROUP = "headrace.query_embedder"


def holds_vectors(worker: Worker) -> bool:
    """Whether the worker's store is of vectors: it reads records that have one."""
    return any(issubclass(record, Embedded) for record in worker.inputs(worker.settings()).values())


async def embedded(texts: Sequence[str]) -> NDArray[np.float32]:
    """(n, d) float32, the texts as queries. Raises Unavailable, CommandError if the model cannot be had."""
    try:
        return await query_vectors(texts)
    except (ValueError, RuntimeError, LookupError) as error:
        raise CommandError(f"the model: {error}") from error


async def search(store: Store, query: Query) -> list[Hit]:
    """The store's answer. Raises Unavailable, CommandError if the index is of another model."""
    try:
        return await store.search(query)
    except ValueError as error:
        raise CommandError(str(error)) from error


async def query_vectors(texts: Sequence[str]) -> NDArray[np.float32]:
    """(n, d) float32, L2-normalised, in the order of the texts. Raises Unavailable, LookupError if nothing embeds."""
    for entry_point in entry_points(group=ENTRY_POINT_GROUP):
        embed = entry_point.load()
        vectors: NDArray[np.float32] = await embed(texts)
        return vectors
    raise LookupError("no installed package embeds queries: headrace-embed does")
