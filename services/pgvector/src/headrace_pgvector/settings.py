"""What the pgvector worker reads from the environment."""

from pydantic import Field

from headrace_clients.settings import PostgresSettings
from headrace_worker.settings import BatchSettings, VectorStoreSettings


class PgvectorBatchSettings(BatchSettings):
    """A poll is large enough for every transaction that the stage has open."""

    max_records: int = Field(2000, ge=1, description="most records of one poll")


class PgvectorSettings(VectorStoreSettings):
    """A worker's settings, PostgreSQL's address and the size of the model's vectors."""

    postgres: PostgresSettings = PostgresSettings()
    batch: PgvectorBatchSettings = PgvectorBatchSettings()
