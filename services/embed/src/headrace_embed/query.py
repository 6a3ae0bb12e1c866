"""The vectors of searches; this is the entry point `headrace.query_embedder`."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from headrace_embed.embedder import open_embedder
from headrace_embed.settings import EmbedderSettings


async def embed_queries(texts: Sequence[str]) -> NDArray[np.float32]:
    """(n, d) float32, L2-normalised, with the model's query prefix. The environment has the settings.

    Raises what `open_embedder` and `TextEmbedder.embed` raise.
    """
    async with open_embedder(EmbedderSettings()) as embedder:
        return await embedder.embed(texts, "query")
