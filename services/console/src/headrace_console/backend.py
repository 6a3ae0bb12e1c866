"""The sources of the pages: the index, the records of letters, the stores and the workers. Opened once."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from headrace_clients.group_lag import ConsumerGroup, installed_groups
from headrace_console.jobs import Jobs
from headrace_console.letter_records import LetterRecords
from headrace_console.monitor.worker_monitor import CANARY, WorkerMonitor
from headrace_console.settings import ConsoleSettings
from headrace_letters.index import LetterIndex, open_index
from headrace_letters.installed_stores import InstalledStores, open_installed_stores
from headrace_schemas.topics import SOURCE_NAMES


@dataclass(frozen=True)
class Backend:
    """Every method of the index, the records and the stores raises Unavailable when its server does not answer."""

    settings: ConsoleSettings
    index: LetterIndex
    records: LetterRecords
    stores: InstalledStores
    jobs: Jobs
    monitor: WorkerMonitor


@asynccontextmanager
async def open_backend(settings: ConsoleSettings) -> AsyncIterator[Backend]:
    """Servers need not answer yet: each page asks again. Running jobs are stopped on exit."""
    async with AsyncExitStack() as stack:
        index = await stack.enter_async_context(open_index(settings))
        records = LetterRecords(settings.kafka)
        stack.push_async_callback(records.close)
        stores = await stack.enter_async_context(open_installed_stores())
        # Importing all workers takes seconds: do it before the first page.
        groups = await asyncio.to_thread(installed_groups, settings, lambda worker: stores.target(worker.name).settings)
        groups.append(ConsumerGroup(CANARY, f"{settings.topic_prefix}{CANARY}", frozenset()))
        sources = [settings.topics.source(kind) for kind in SOURCE_NAMES]
        monitor = WorkerMonitor(settings.kafka, groups, settings.console.worker_urls, sources)
        monitor.start()
        stack.push_async_callback(monitor.close)
        jobs = Jobs()
        stack.push_async_callback(jobs.close)
        yield Backend(settings, index, records, stores, jobs, monitor)
