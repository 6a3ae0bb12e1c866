"""The worker `pgvector`: changes with vectors, and link sets, into PostgreSQL."""

from headrace_pgvector.settings import PgvectorSettings
from headrace_schemas.embedded import EMBEDDED
from headrace_schemas.links import ProductLinks
from headrace_worker.deferred import Deferred
from headrace_worker.stage import Record
from headrace_worker.worker import Worker


def inputs(settings: PgvectorSettings) -> dict[str, type[Record]]:
    changes: dict[str, type[Record]] = {
        settings.topics.embedded(kind, settings.model): record for kind, record in EMBEDDED.items()
    }
    return changes | {settings.topics.product_links: ProductLinks}


worker = Worker(
    "pgvector",
    settings=PgvectorSettings,
    inputs=inputs,
    stage=Deferred("headrace_pgvector.stage:open_stage"),
    database="postgresql",
    store=Deferred("headrace_pgvector.store:PgvectorStore"),
    links=Deferred("headrace_pgvector.store:PgvectorStore"),
    takes_canary=True,
    beside=Deferred("headrace_pgvector.beside:open_beside"),
    scan=Deferred("headrace_pgvector.scan:PgvectorScan"),
)
