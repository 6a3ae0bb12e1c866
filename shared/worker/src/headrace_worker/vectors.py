"""Checks of a change's vector, for stores with vectors of one model."""

from math import isfinite

import numpy as np

from headrace_schemas.embedded import EmbeddedChange
from headrace_worker.stage import Rejected


def vector_fault(change: EmbeddedChange, model: str, dimension: int, store: str) -> Rejected | None:
    """Why a change's vector cannot be stored among vectors of `model` with `dimension` numbers; None if it can.

    Stages check this before a write: Qdrant writes a part of a batch that it refuses, and PostgreSQL does not name the
    row.
    """
    embedding = change.embedding
    if embedding is None:
        return None
    if embedding.model != model:
        detail = f"the vector is of model {embedding.model}, and {store} has vectors of {model}"
        return Rejected("wrong_model", detail, (store, "model"))
    vector = np.frombuffer(embedding.vector, "<f4")
    if len(vector) != dimension:
        detail = f"the vector has {len(vector)} dimensions, and the vectors in {store} have {dimension}"
        return Rejected("wrong_vector", detail, (store, "dimension"))
    # The sum of squares is a number only if each of them is, or if they are not too large for it.
    if not isfinite(vector.dot(vector)) and not np.isfinite(vector).all():
        return Rejected("wrong_vector", "the vector has a number that is not finite", (store, "finite"))
    return None
