"""The worker `pgvector`: changes with vectors, and link sets, into PostgreSQL."""

from headrace_pgvector.beside import open_beside
from headrace_pgvector.scan import PgvectorScan
from headrace_pgvector.settings import PgvectorSettings
from headrace_pgvector.stage import open_stage
from headrace_pgvector.store import PgvectorStore
from headrace_schemas.embedded import EMBEDDED
from headrace_schemas.links import ProductLinks
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
    stage=open_stage,
    database="postgresql",
    store=PgvectorStore,
    links=PgvectorStore,
    takes_canary=True,
    beside=open_beside,
    scan=PgvectorScan,
)
