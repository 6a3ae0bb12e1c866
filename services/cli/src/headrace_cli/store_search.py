"""Searches in one store. The text becomes a vector where the store compares vectors.

The installed package that embeds provides a function through the entry-point group `headrace.query_embedder`. It takes
texts and returns (n, d) float32, L2-normalised, computed with the settings' model and its query prefix; it raises
Unavailable.
"""

from collections.abc import Sequence
from importlib.metadata import entry_points

import numpy as np
from numpy.typing import NDArray

from headrace_cli.errors import CommandError
from headrace_schemas.embedded import Embedded
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
