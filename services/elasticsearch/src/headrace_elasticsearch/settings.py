"""What this worker reads from the environment."""

from typing import Self

from pydantic import BaseModel, Field, SecretStr, model_validator

from headrace_worker.settings import BatchSettings, Url, WorkerSettings


class ElasticsearchSettings(BaseModel):
    """How to reach Elasticsearch."""

    url: Url = Field("http://127.0.0.1:9200", description="URL of any node")
    api_key: SecretStr | None = Field(None, description="sent with every request")
    ca_file: str | None = Field(None, description="PEM file of the authority to trust for https")
    ca_fingerprint: str | None = Field(
        None, description="SHA-256 of the certificate of the authority to trust for https, instead of the file"
    )
    analyzer: str = Field("standard", description="analyzer of text fields; used when an index is created")
    timeout: float = Field(30.0, gt=0, description="longest wait for one request, seconds")

    @model_validator(mode="after")
    def _one_authority(self) -> Self:
        if self.ca_file and self.ca_fingerprint:
            raise ValueError("set the CA file or the CA fingerprint, not both")
        return self


class ElasticsearchBatchSettings(BatchSettings):
    """A poll is large enough for every bulk request that the stage has in flight."""

    max_records: int = Field(4000, ge=1, description="most records of one poll")


class ElasticsearchWorkerSettings(WorkerSettings):
    """The settings of every worker, and how to reach Elasticsearch."""

    elasticsearch: ElasticsearchSettings = ElasticsearchSettings()
    batch: ElasticsearchBatchSettings = ElasticsearchBatchSettings()
