"""What the pgvector worker reads from the environment."""

from pydantic import Field

from headrace_shared.settings import BatchSettings, PostgresSettings, WorkerSettings


class PgvectorSettings(WorkerSettings):
    """A worker's settings, PostgreSQL's address, and the size of the model's vectors."""

    postgres: PostgresSettings = PostgresSettings()
    batch: BatchSettings = BatchSettings(max_records=2000)
    dimension: int = Field(384, ge=1, le=2000, description="of the model's vectors; pgvector's HNSW ends at 2000")
