"""What the pgvector worker reads from the environment."""

from pydantic import Field

from headrace_clients.settings import PostgresSettings
from headrace_worker.settings import BatchSettings, VectorStoreSettings


class PgvectorBatchSettings(BatchSettings):
    """A batch large enough to keep all writers busy."""

    max_records: int = Field(2000, ge=1, description="records of one poll")


class PgvectorSettings(VectorStoreSettings):
    """A worker's settings, PostgreSQL's address and the size of the model's vectors."""

    postgres: PostgresSettings = PostgresSettings()
    batch: PgvectorBatchSettings = PgvectorBatchSettings()
