"""What the pgvector worker reads from the environment."""

from pydantic import Field

from headrace_shared.settings import BatchSettings, PostgresSettings, WorkerSettings


class PgvectorBatchSettings(BatchSettings):
    """A batch large enough to keep all writers busy."""

    max_records: int = Field(2000, ge=1, description="records of one poll")


class PgvectorSettings(WorkerSettings):
    """A worker's settings, PostgreSQL's address, and the size of the model's vectors."""

    postgres: PostgresSettings = PostgresSettings()
    batch: PgvectorBatchSettings = PgvectorBatchSettings()
    dimension: int = Field(384, ge=1, le=2000, description="of the model's vectors; pgvector's HNSW ends at 2000")
