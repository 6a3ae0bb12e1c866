"""The demo from the topics to the findings, on servers that run."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from headrace_cli.catalogue.events import Event
from headrace_cli.demo.findings import Findings, loaded, worker_figures
from headrace_cli.demo.following import Following, Standing, following
from headrace_cli.demo.story import Story, expected
from headrace_cli.demo.telling import Telling
from headrace_cli.readiness import until_ready
from headrace_cli.searching import holds_vectors
from headrace_cli.source_records import SourceProducer, open_producer
from headrace_cli.stores import prepare_stores
from headrace_cli.supervisor import Supervisor, worker_command
from headrace_cli.waiting import installed_readers, readers_of, stages
from headrace_local.ports import free_ports
from headrace_schemas.fields import Kind
from headrace_schemas.topics import SOURCE_NAMES
from headrace_shared.fold import Comparison, compare
from headrace_shared.settings import CommonSettings
from headrace_shared.store import Store
from headrace_shared.topics import apply_topics
from headrace_shared.worker import load_worker, worker_names

HTTP_PORT = "HEADRACE_HTTP__PORT"
READY_WITHIN = 120.0
CHANGES_A_SECOND = 100.0
LONGEST_PUBLISHING = 10.0
"""Seconds over which the changes are spread at most, where there are very many."""


async def follow_story(story: Story, stores: dict[str, Store], telling: Telling) -> Findings:
    """Publishes the story and follows it until every record is accounted for, while the workers run.

    Raises CommandError when nothing moves any more.
    """
    settings = CommonSettings()
    readers = installed_readers(settings)
    async with open_producer(settings) as producer, following(settings, readers) as followed:
        started = datetime.now(UTC)
        await _publish(story, story.load(), producer)
        telling.say(f"published {story.products:,} products and {story.keywords:,} keywords")
        await _until_accounted(followed, telling)
        before = {reader.worker: loaded(followed.accounts.of(reader.worker), started) for reader in readers}

        rate = max(CHANGES_A_SECOND, story.change_count / LONGEST_PUBLISHING)
        await _publish(story, story.changes(), producer, rate)
        telling.say(f"published {story.change_count:,} changes, {rate:,.0f} a second:")
        telling.console.print(f"  {_listed(story.by_cause())}", soft_wrap=True)
        standings = await _until_accounted(followed, telling)

    first = readers_of(stages(settings.topics, settings.model)[0], readers, settings.topics)
    figures = [worker_figures(s, followed.accounts.of(s.worker), before[s.worker]) for s in standings]
    return Findings(
        published=len(story.published),
        malformed=story.malformed,
        source_readers=frozenset(reader.worker for reader in first),
        workers=figures,
        stores={name: await _compared(name, store, story.published, settings.model) for name, store in stores.items()},
    )


async def _publish(story: Story, events: Iterable[Event], producer: SourceProducer, rate: float | None = None) -> None:
    started, before = time.monotonic(), len(story.published)
    async for published in story.publish(events, producer):
        if rate is not None:
            await asyncio.sleep(max(0.0, started + (published - before) / rate - time.monotonic()))


async def _until_accounted(followed: Following, telling: Telling) -> list[Standing]:
    """Shows a bar for each worker until there is a receipt for every record."""
    console = telling.console
    columns = (TextColumn("{task.description:<14}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        bars = {reader.worker: progress.add_task(reader.worker, total=None) for reader in followed.readers}

        def look(standings: list[Standing]) -> None:
            for standing in standings:
                progress.update(bars[standing.worker], completed=standing.consumed, total=standing.published or None)

        standings = await followed.until_accounted(look)
    telling.say("every record is accounted for")
    return standings


async def _compared(name: str, store: Store, published: list[Event], model: str) -> dict[Kind, Comparison]:
    await store.refresh()
    wanted = expected(published)
    of_model = model if holds_vectors(load_worker(name)) else None
    return {kind: await compare(store.scan(kind), wanted[kind], model=of_model) for kind in SOURCE_NAMES}


async def apply_everything() -> None:
    """Creates topics and stores."""
    await apply_topics(CommonSettings(), worker_names())
    await prepare_stores()


@asynccontextmanager
async def running_workers(log: Path) -> AsyncIterator[None]:
    """All workers under a supervisor, ready, with their output in a file. Ends them.

    Raises CommandError if one does not become ready.
    """
    ports = dict(zip(names := worker_names(), free_ports(len(names)), strict=True))
    with log.open("w") as file:

        def say(name: str, line: str) -> None:
            file.write(f"{name} | {line}\n")
            file.flush()

        commands = {name: worker_command(name) for name in names}
        supervisor = Supervisor(commands, say, lambda name: {HTTP_PORT: str(ports[name])})
        running = asyncio.create_task(supervisor.run())
        try:
            await until_ready(ports, READY_WITHIN)
            yield
        finally:
            supervisor.stop()
            await running


def _listed(counts: dict[str, int]) -> str:
    return ", ".join(f"{count} {cause}" for cause, count in counts.items() if cause != "create")
