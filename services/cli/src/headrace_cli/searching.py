"""Searches one store, with a vector where the store finds by vectors."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from headrace_cli.errors import CommandError
from headrace_cli.query_vectors import query_vectors
from headrace_schemas.embedded import Embedded
from headrace_worker.store import Hit, Query, Store
from headrace_worker.worker import Worker


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
