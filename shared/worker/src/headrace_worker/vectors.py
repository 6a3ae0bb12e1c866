"""What is wrong with a change's vector, for the stores that hold vectors of one model."""

import numpy as np

from headrace_schemas.embedded import EmbeddedChange
from headrace_worker.stage import Rejected


def vector_fault(change: EmbeddedChange, model: str, dimension: int, store: str) -> Rejected | None:
    """Why a change's vector cannot be stored where `model`'s vectors of `dimension` are; None if it can.

    Checked before a write: Qdrant writes some of a batch that it refuses, and PostgreSQL names no row.
    """
    embedding = change.embedding
    if embedding is None:
        return None
    if embedding.model != model:
        detail = f"the vector is of {embedding.model}, those of {store} are of {model}"
        return Rejected("wrong_model", detail, (store, "model"))
    vector = np.frombuffer(embedding.vector, "<f4")
    if len(vector) != dimension:
        detail = f"the vector has {len(vector)} dimensions, those of {store} have {dimension}"
        return Rejected("wrong_vector", detail, (store, "dimension"))
    if not np.isfinite(vector).all():
        return Rejected("wrong_vector", "the vector holds a number that is not finite", (store, "finite"))
    return None
