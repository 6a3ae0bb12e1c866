"""What this worker reads from the environment."""

from pydantic import Field

from headrace_worker.settings import BatchSettings, ElasticsearchSettings, WorkerSettings


class ElasticsearchBatchSettings(BatchSettings):
    """A poll large enough to fill every bulk request that the stage keeps in flight."""

    max_records: int = Field(4000, ge=1, description="records of one poll")


class ElasticsearchWorkerSettings(WorkerSettings):
    """The settings of every worker, and how to reach Elasticsearch."""

    elasticsearch: ElasticsearchSettings = ElasticsearchSettings()
    batch: ElasticsearchBatchSettings = ElasticsearchBatchSettings()
