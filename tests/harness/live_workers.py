"""Workers under test, in this process."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from headrace_runtime.app import build
from headrace_worker.settings import WorkerSettings
from headrace_worker.worker import Worker


@asynccontextmanager
async def running(worker: Worker, settings: WorkerSettings) -> AsyncIterator[Any]:
    """The worker consumes for as long as the block runs; its application is what `as` names."""
    application = build(worker, settings)
    async with application.start_lifespan_context():
        yield application
