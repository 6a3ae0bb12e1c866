"""The sources of the pages: the index, the records of letters, the stores and the workers. Opened once."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from headrace_console.jobs import Jobs
from headrace_console.letter_records import LetterRecords
from headrace_console.monitor.group_lag import ConsumerGroup
from headrace_console.monitor.worker_monitor import WorkerMonitor
from headrace_console.settings import ConsoleSettings
from headrace_letters.index import LetterIndex, open_index
from headrace_letters.installed_stores import InstalledStores, open_installed_stores
from headrace_schemas.topics import SOURCE_NAMES
from headrace_worker.worker import DEAD_LETTERS, load_worker, rejecting_names, worker_names


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
        groups = await asyncio.to_thread(_groups, settings, stores)
        sources = [settings.topics.source(kind) for kind in SOURCE_NAMES]
        monitor = WorkerMonitor(settings.kafka, groups, settings.console.worker_urls, sources)
        monitor.start()
        stack.push_async_callback(monitor.close)
        jobs = Jobs()
        stack.push_async_callback(jobs.close)
        yield Backend(settings, index, records, stores, jobs, monitor)


def _groups(settings: ConsoleSettings, stores: InstalledStores) -> Sequence[ConsumerGroup]:
    groups = []
    for name in worker_names():
        target, worker = stores.target(name), load_worker(name)
        group = f"{settings.topic_prefix}{name}"
        topics = {*target.inputs, target.replay_topic}
        if name == DEAD_LETTERS:
            topics = {settings.topics.receipts, *map(settings.topics.dead, rejecting_names())}
        groups.append(ConsumerGroup(name, group, frozenset(topics)))
        if worker.listener is not None:
            reports = frozenset(worker.listener.inputs(target.settings))
            groups.append(ConsumerGroup(name, f"{group}.{worker.listener.name}", reports))
    return groups
