"""Parts of a worker's store, opened for a test."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Literal

from headrace_worker.settings import WorkerSettings
from headrace_worker.worker import load_worker


@asynccontextmanager
async def open_part(
    name: str, part: Literal["store", "links", "tables"], settings: WorkerSettings
) -> AsyncIterator[Any]:
    """The read side of a worker's store, its link sets or its tables; None if the worker has none."""
    opener = getattr(load_worker(name), part)
    opened = opener(settings) if opener is not None else None
    try:
        yield opened
    finally:
        if opened is not None:
            await opened.close()
