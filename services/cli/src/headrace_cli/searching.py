"""Searches one store, with a vector where the store finds by vectors."""

from headrace_schemas.embedded import Embedded
from headrace_schemas.fields import Kind
from headrace_shared.query_vectors import query_vectors
from headrace_shared.store import Hit, Query, Store
from headrace_shared.worker import Worker


def holds_vectors(worker: Worker) -> bool:
    """Whether the worker's store is of vectors: it reads records that have one."""
    return any(issubclass(record, Embedded) for record in worker.inputs(worker.settings()).values())


async def search(worker: Worker, store: Store, text: str, kind: Kind, limit: int) -> list[Hit]:
    """The best entities for a text. Raises Unavailable; ValueError if the index was built with another model."""
    vector = (await query_vectors([text]))[0].tolist() if holds_vectors(worker) else None
    return await store.search(Query(text, kind, limit, vector))
