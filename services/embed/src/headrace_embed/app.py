"""The worker `embed`: changes from the source topics, with vectors, into the embedded topics."""

from collections.abc import Mapping

from headrace_embed import metrics
from headrace_embed.settings import EmbedSettings
from headrace_schemas.changes import CHANGES
from headrace_worker.deferred import Deferred
from headrace_worker.stage import Record
from headrace_worker.worker import Worker


def inputs(settings: EmbedSettings) -> Mapping[str, type[Record]]:
    """The source topics."""
    return {settings.topics.source(kind): record for kind, record in CHANGES.items()}


worker = Worker(
    name="embed",
    settings=EmbedSettings,
    inputs=inputs,
    stage=Deferred("headrace_embed.factory:open_stage"),
    step="embed",
    metrics=metrics.ALL,
    takes_canary=True,
    by_model=True,
)
