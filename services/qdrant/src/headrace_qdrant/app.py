"""The worker `qdrant`: changes with vectors into Qdrant."""

from headrace_qdrant.settings import QdrantWorkerSettings
from headrace_schemas.embedded import EMBEDDED
from headrace_worker.deferred import Deferred
from headrace_worker.stage import Record
from headrace_worker.worker import Worker


def inputs(settings: QdrantWorkerSettings) -> dict[str, type[Record]]:
    """The topics with vectors of the model of the settings."""
    return {settings.topics.embedded(kind, settings.model): record for kind, record in EMBEDDED.items()}


worker = Worker(
    name="qdrant",
    settings=QdrantWorkerSettings,
    inputs=inputs,
    stage=Deferred("headrace_qdrant.stage:open_stage"),
    store=Deferred("headrace_qdrant.store:open_store"),
    database="qdrant",
    takes_canary=True,
    beside=Deferred("headrace_qdrant.beside:open_beside"),
    scan=Deferred("headrace_qdrant.scan:QdrantScan"),
)
