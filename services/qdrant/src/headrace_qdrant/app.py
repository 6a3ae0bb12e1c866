"""The worker `qdrant`: changes with vectors into Qdrant."""

from headrace_qdrant.beside import open_beside
from headrace_qdrant.scan import QdrantScan
from headrace_qdrant.settings import QdrantWorkerSettings
from headrace_qdrant.stage import open_stage
from headrace_qdrant.store import open_store
from headrace_schemas.embedded import EMBEDDED
from headrace_worker.stage import Record
from headrace_worker.worker import Worker


def inputs(settings: QdrantWorkerSettings) -> dict[str, type[Record]]:
    """The topics with vectors of the model of the settings."""
    return {settings.topics.embedded(kind, settings.model): record for kind, record in EMBEDDED.items()}


worker = Worker(
    name="qdrant",
    settings=QdrantWorkerSettings,
    inputs=inputs,
    stage=open_stage,
    store=open_store,
    database="qdrant",
    takes_canary=True,
    beside=open_beside,
    scan=QdrantScan,
)
