"""What this worker reads from the environment."""

from pathlib import Path

from pydantic import BaseModel, Field

from headrace_worker.settings import WorkerSettings


class SqliteSettings(BaseModel):
    """Where the database is."""

    path: Path = Field(Path("headrace.sqlite3"), description="file of the database; created if it is missing")
    timeout: float = Field(5.0, gt=0, description="longest wait for the lock of another writer, seconds")


class SqliteWorkerSettings(WorkerSettings):
    """The settings of every worker, and the file."""

    sqlite: SqliteSettings = SqliteSettings()
