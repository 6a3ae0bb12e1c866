"""The worker `embed`: changes from the source topics, with vectors, into the embedded topics."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from headrace_embed import metrics
from headrace_embed.cache import VectorCache
from headrace_embed.embedder import open_embedder
from headrace_embed.model_files import cache_folder
from headrace_embed.settings import EmbedSettings
from headrace_embed.stage import EmbedStage
from headrace_schemas.changes import CHANGES
from headrace_worker.stage import Record
from headrace_worker.worker import Worker


def inputs(settings: EmbedSettings) -> Mapping[str, type[Record]]:
    """The source topics."""
    return {settings.topics.source(kind): record for kind, record in CHANGES.items()}


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


worker = Worker(
    name="embed",
    settings=EmbedSettings,
    inputs=inputs,
    stage=open_stage,
    step="embed",
    metrics=metrics.ALL,
    takes_canary=True,
    by_model=True,
)
