"""Settings that everything with the index of dead letters needs."""

from pydantic import BaseModel, Field

from headrace_clients.settings import PostgresSettings
from headrace_worker.settings import CommonSettings


class DeadSettings(BaseModel):
    """Dead-letter topics besides the workers' own, and how long a replay may take."""

    topics: str = Field("", description="topics with letters of Kafka Connect or Spring Kafka, separated by commas")
    replaying_for: float = Field(
        600.0, gt=0, description="seconds after which a replay without an answer counts as waiting"
    )

    @property
    def further_topics(self) -> list[str]:
        """The names in `topics`."""
        return [name for name in (part.strip() for part in self.topics.split(",")) if name]


class IndexSettings(CommonSettings):
    """Settings of a command or service that uses the index."""

    postgres: PostgresSettings = PostgresSettings()
    dead: DeadSettings = DeadSettings()
