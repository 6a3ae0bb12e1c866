"""What the qdrant worker reads from the environment."""

from pydantic import Field

from headrace_clients.settings import QdrantSettings
from headrace_worker.settings import BatchSettings, VectorStoreSettings


class QdrantBatchSettings(BatchSettings):
    """A poll is large enough for every request that the stage has in flight."""

    max_records: int = Field(2048, ge=1, description="most records of one poll")


class QdrantWorkerSettings(VectorStoreSettings):
    """A worker's settings, Qdrant's address and the size of the model's vectors."""

    qdrant: QdrantSettings = QdrantSettings()
    batch: QdrantBatchSettings = QdrantBatchSettings()
