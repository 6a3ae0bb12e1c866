"""Vectors of what a person searches for, from whichever package embeds.

The entry-point group `headrace.query_embedder` has one function, which takes texts and gives (n, d) float32,
L2-normalised, computed with the settings' model and its query prefix. It raises Unavailable.
"""

from collections.abc import Sequence
from importlib.metadata import entry_points

import numpy as np
from numpy.typing import NDArray

ENTRY_POINT_GROUP = "headrace.query_embedder"


async def query_vectors(texts: Sequence[str]) -> NDArray[np.float32]:
    """(n, d) float32, L2-normalised, in the order of the texts. Raises Unavailable, LookupError if nothing embeds."""
    for entry_point in entry_points(group=ENTRY_POINT_GROUP):
        embed = entry_point.load()
        vectors: NDArray[np.float32] = await embed(texts)
        return vectors
    raise LookupError("no installed package embeds queries: headrace-embed does")
