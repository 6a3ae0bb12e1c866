"""The worker `sqlite`, as it announces itself: it reads the changes as the catalogue publishes them."""

from headrace_schemas.changes import CHANGES
from headrace_sqlite.settings import SqliteWorkerSettings
from headrace_sqlite.stage import open_stage
from headrace_sqlite.store import SqliteStore
from headrace_worker.worker import Worker

worker = Worker(
    name="sqlite",
    settings=SqliteWorkerSettings,
    inputs=lambda settings: {settings.topics.source(kind): change for kind, change in CHANGES.items()},
    stage=open_stage,
    store=SqliteStore,
)
