"""Makes the stage of the worker `embed` from its settings."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from headrace_embed.cache import VectorCache
from headrace_embed.embedder import open_embedder
from headrace_embed.model_files import cache_folder
from headrace_embed.settings import EmbedSettings
from headrace_embed.stage import EmbedStage


@asynccontextmanager
async def open_stage(settings: EmbedSettings) -> AsyncIterator[EmbedStage]:
    """The stage with its model and its cache. Raises what `open_embedder` raises."""
    async with open_embedder(settings) as embedder:
        folder = (settings.cache_dir or cache_folder() / "vectors") / embedder.cache_name
        cache = VectorCache(folder, embedder.model.dimension, settings.cache_bytes)
        try:
            yield EmbedStage(embedder, cache, settings.topics)
        finally:
            cache.close()
