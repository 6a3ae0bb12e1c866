"""The worker `elasticsearch`: product and keyword changes, straight from the source topics, into their indices."""

from headrace_elasticsearch.settings import ElasticsearchWorkerSettings
from headrace_elasticsearch.stage import open_stage
from headrace_elasticsearch.store import open_store
from headrace_schemas.changes import CHANGES
from headrace_shared.worker import Worker

worker = Worker(
    name="elasticsearch",
    settings=ElasticsearchWorkerSettings,
    inputs=lambda settings: {settings.topics.source(kind): change for kind, change in CHANGES.items()},
    stage=open_stage,
    store=open_store,
)
