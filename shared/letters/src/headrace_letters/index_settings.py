"""What every part that deals with dead letters reads from the environment."""

from pydantic import BaseModel, Field

from headrace_clients.settings import PostgresSettings
from headrace_worker.settings import CommonSettings


class DeadSettings(BaseModel):
    """Which letters there are beside the workers' own, and how long a replay may take."""

    topics: str = Field("", description="further topics to read, of Kafka Connect or Spring, separated by commas")
    replaying_for: float = Field(600.0, gt=0, description="seconds after which a replay without an answer is waiting")

    @property
    def further_topics(self) -> list[str]:
        """The names in `topics`."""
        return [name for name in (part.strip() for part in self.topics.split(",")) if name]


class IndexSettings(CommonSettings):
    """What a command over the index of dead letters reads."""

    postgres: PostgresSettings = PostgresSettings()
    dead: DeadSettings = DeadSettings()
