"""What this worker reads from the environment."""

from pydantic import BaseModel, Field, SecretStr

from headrace_worker.settings import BatchSettings, Url, WorkerSettings


class ElasticsearchSettings(BaseModel):
    """How to reach Elasticsearch."""

    url: Url = Field("http://127.0.0.1:9200", description="of any node")
    api_key: SecretStr | None = Field(None, description="sent with every request")
    ca_fingerprint: str | None = Field(None, description="SHA-256 of the authority's certificate, for https")
    analyzer: str = Field("standard", description="of text fields, when the index is created")
    timeout: float = Field(30.0, gt=0, description="of one request, seconds")


class ElasticsearchBatchSettings(BatchSettings):
    """A poll large enough to fill every bulk request that the stage keeps in flight."""

    max_records: int = Field(4000, ge=1, description="records of one poll")


class ElasticsearchWorkerSettings(WorkerSettings):
    """The settings of every worker, and how to reach Elasticsearch."""

    elasticsearch: ElasticsearchSettings = ElasticsearchSettings()
    batch: ElasticsearchBatchSettings = ElasticsearchBatchSettings()
