"""The settings of the dead_letters worker."""

from headrace_clients.settings import PostgresSettings
from headrace_letters.index_settings import DeadSettings
from headrace_worker.settings import WorkerSettings


class DeadLettersSettings(WorkerSettings):
    """A worker's settings, PostgreSQL's address and the topics of dead letters."""

    postgres: PostgresSettings = PostgresSettings()
    dead: DeadSettings = DeadSettings()
