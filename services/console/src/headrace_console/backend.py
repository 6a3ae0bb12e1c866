"""What the pages ask: the index, the letters' bytes, the stores, the workers; opened once for the whole console."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta

from headrace_console.jobs import Jobs
from headrace_console.letter_records import Records
from headrace_console.monitor.group_lag import Group
from headrace_console.monitor.worker_monitor import WorkerMonitor
from headrace_console.settings import ConsoleSettings
from headrace_letters.index import LetterIndex
from headrace_letters.installed_stores import InstalledStores, open_installed_stores
from headrace_worker.worker import DEAD_LETTERS, load_worker, rejecting_names, worker_names


@dataclass(frozen=True)
class Backend:
    """Every method of the index, the records and the stores raises Unavailable when its server does not answer."""

    settings: ConsoleSettings
    index: LetterIndex
    records: Records
    stores: InstalledStores
    jobs: Jobs
    watcher: WorkerMonitor


@asynccontextmanager
async def open_backend(settings: ConsoleSettings) -> AsyncIterator[Backend]:
    """Running jobs are stopped on exit. Whatever does not answer at the start is asked again by the pages."""
    async with AsyncExitStack() as stack:
        index = LetterIndex(settings.postgres, replaying_for=timedelta(seconds=settings.dead.replaying_for))
        stack.push_async_callback(index.close)
        records = Records(settings.kafka)
        stack.push_async_callback(records.close)
        stores = await stack.enter_async_context(open_installed_stores())
        # Loading every worker's package takes seconds, which no page should.
        groups = await asyncio.to_thread(_groups, settings, stores)
        watcher = WorkerMonitor(settings.kafka, groups, settings.console.worker_urls)
        watcher.start()
        stack.push_async_callback(watcher.close)
        jobs = Jobs()
        stack.push_async_callback(jobs.close)
        yield Backend(settings, index, records, stores, jobs, watcher)


def _groups(settings: ConsoleSettings, stores: InstalledStores) -> Sequence[Group]:
    groups = []
    for name in worker_names():
        place, worker = stores.target(name), load_worker(name)
        group = f"{settings.topic_prefix}{name}"
        topics = {*place.inputs, place.replay_topic}
        if name == DEAD_LETTERS:
            topics = {settings.topics.receipts, *map(settings.topics.dead, rejecting_names())}
        groups.append(Group(name, group, frozenset(topics)))
        if worker.listener is not None:
            heard = frozenset(worker.listener.inputs(place.settings))
            groups.append(Group(name, f"{group}.{worker.listener.name}", heard))
    return groups
