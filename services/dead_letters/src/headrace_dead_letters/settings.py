"""What the dead_letters worker reads from the environment."""

from headrace_clients.settings import PostgresSettings
from headrace_letters.index_settings import DeadSettings
from headrace_worker.settings import WorkerSettings


class DeadLettersSettings(WorkerSettings):
    """A worker's settings, PostgreSQL's address and which letters there are."""

    postgres: PostgresSettings = PostgresSettings()
    dead: DeadSettings = DeadSettings()
