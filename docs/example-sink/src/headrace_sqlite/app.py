"""The worker `sqlite`: the changes as the catalogue publishes them, and link sets, into one file."""

from headrace_schemas.changes import CHANGES
from headrace_schemas.links import ProductLinks
from headrace_sqlite.settings import SqliteWorkerSettings
from headrace_sqlite.stage import open_stage
from headrace_sqlite.store import SqliteStore
from headrace_worker.stage import Record
from headrace_worker.worker import Worker


def inputs(settings: SqliteWorkerSettings) -> dict[str, type[Record]]:
    """A sink with vectors reads `settings.topics.embedded(kind, settings.model)` with the records of `EMBEDDED`
    instead, and its settings extend `VectorStoreSettings`; a sink without links leaves out `product_links` and `links`.
    """
    changes: dict[str, type[Record]] = {settings.topics.source(kind): change for kind, change in CHANGES.items()}
    return changes | {settings.topics.product_links: ProductLinks}


worker = Worker(
    name="sqlite",
    settings=SqliteWorkerSettings,
    inputs=inputs,
    stage=open_stage,
    store=SqliteStore,
    links=SqliteStore,
)
