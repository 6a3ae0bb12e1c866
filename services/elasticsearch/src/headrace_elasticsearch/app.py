"""The worker `elasticsearch`: changes from the source topics, and link sets, into their indices."""

from headrace_elasticsearch.settings import ElasticsearchWorkerSettings
from headrace_schemas.changes import CHANGES
from headrace_schemas.links import ProductLinks
from headrace_worker.deferred import Deferred
from headrace_worker.stage import Record
from headrace_worker.worker import Worker


def inputs(settings: ElasticsearchWorkerSettings) -> dict[str, type[Record]]:
    changes: dict[str, type[Record]] = {settings.topics.source(kind): change for kind, change in CHANGES.items()}
    return changes | {settings.topics.product_links: ProductLinks}


worker = Worker(
    name="elasticsearch",
    settings=ElasticsearchWorkerSettings,
    inputs=inputs,
    stage=Deferred("headrace_elasticsearch.stage:open_stage"),
    database="elasticsearch",
    store=Deferred("headrace_elasticsearch.store:open_store"),
    links=Deferred("headrace_elasticsearch.store:open_store"),
    takes_canary=True,
    beside=Deferred("headrace_elasticsearch.beside:open_beside"),
    scan=Deferred("headrace_elasticsearch.scan:ElasticsearchScan"),
)
