"""The demo from the topics to the findings, on servers that run."""

import asyncio
import math
import time
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from headrace_cli.completion import walk
from headrace_cli.installed_stores import keeps_published_links, prepare_stores
from headrace_cli.kafka_topics import apply_topics
from headrace_cli.source_producer import SourceProducer, open_producer
from headrace_cli.supervisor import Supervisor, worker_command
from headrace_cli.topic_graph import installed_readers, readers_of, stages
from headrace_demo.catalogue.events import Event
from headrace_demo.entity_comparison import compared
from headrace_demo.findings import Findings, loaded, worker_figures
from headrace_demo.keyword_move import Moving, plan, side, until_readable
from headrace_demo.label_recall import labelled_links
from headrace_demo.link_comparison import compared_links
from headrace_demo.progress import Following, Standing, following
from headrace_demo.readiness import until_ready
from headrace_demo.scenario import Story
from headrace_demo.step_log import Telling
from headrace_local.ports import free_ports
from headrace_worker.settings import CommonSettings
from headrace_worker.store import LinkStore, Store
from headrace_worker.worker import load_worker, rejecting_names, worker_names

HTTP_PORT = "HEADRACE_HTTP__PORT"
READY_WITHIN = 120.0
CHANGES_A_SECOND = 100.0
MOVE_SHOWN_IN = "elasticsearch"
LONGEST_PUBLISHING = 10.0
"""Seconds over which the changes are spread at most, where there are very many."""


async def follow_story(
    story: Story, stores: Mapping[str, Store], link_stores: Mapping[str, LinkStore], telling: Telling
) -> Findings:
    """Publishes the story and follows it until every record is accounted for, while the workers run.

    Raises CommandError when nothing moves any more.
    """
    settings = CommonSettings()
    readers = installed_readers(settings)
    async with open_producer(settings) as producer, following(settings, readers) as followed:
        started = datetime.now(UTC)
        await _publish(story, story.load(), producer)
        telling.say(f"published {story.products:,} products and {story.keywords:,} keywords")
        await _until_accounted(followed, settings, telling)
        before = {reader.worker: loaded(followed.accounts.of(reader.worker), started) for reader in readers}

        rate = max(CHANGES_A_SECOND, story.change_count / LONGEST_PUBLISHING)
        await _publish(story, story.changes(), producer, rate)
        telling.say(f"published {story.change_count:,} changes, {rate:,.0f} a second:")
        telling.console.print(f"  {_listed(story.by_cause())}", soft_wrap=True)
        await _until_accounted(followed, settings, telling)

        linked = followed.accounts.of("link").outcomes["applied"]
        moving = await _move_a_keyword(story, producer, link_stores, telling)
        standings = await _until_accounted(followed, settings, telling)
        relinked = followed.accounts.of("link").outcomes["applied"] - linked

    source_topics = stages(settings.topics, settings.model)[0]
    first = readers_of(source_topics, readers)
    figures = [worker_figures(s, followed.accounts.of(s.worker), before[s.worker], source_topics) for s in standings]
    return Findings(
        published=len(story.published),
        malformed=story.malformed,
        source_readers=frozenset(reader.worker for reader in first),
        workers=figures,
        stores={name: await compared(name, store, story.published, settings.model) for name, store in stores.items()},
        links=await compared_links(settings, link_stores),
        move=await moving.ended(link_stores[MOVE_SHOWN_IN], relinked) if moving else None,
        labelled=await labelled_links(story, link_stores[MOVE_SHOWN_IN], moving.plan.keyword_id if moving else None),
    )


async def _publish(story: Story, events: Iterable[Event], producer: SourceProducer, rate: float | None = None) -> None:
    started, before = time.monotonic(), len(story.published)
    async for published in story.publish(events, producer):
        if rate is not None:
            await asyncio.sleep(max(0.0, started + (published - before) / rate - time.monotonic()))


async def _move_a_keyword(
    story: Story, producer: SourceProducer, stores: Mapping[str, LinkStore], telling: Telling
) -> Moving | None:
    """Gives a keyword the title of a product; returns when its links can be read. None if there is no such pair."""
    published = {name: store for name, store in stores.items() if keeps_published_links(load_worker(name))}
    planned = await plan(story.published, stores[MOVE_SHOWN_IN])
    if planned is None:
        return None
    before = await side(planned, stores[MOVE_SHOWN_IN])
    change = planned.change()
    await _publish(story, [change], producer)
    telling.say(f"published that {planned.keyword_id} is now {change.record['text']!r}")
    return Moving(planned, before, await until_readable(planned, published))


async def _until_accounted(followed: Following, settings: CommonSettings, telling: Telling) -> list[Standing]:
    """Shows a bar for each worker until there is a receipt for every record."""
    console = telling.console
    columns = (TextColumn("{task.description:<14}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        bars = {reader.worker: progress.add_task(reader.worker, total=None) for reader in followed.readers}

        def look(standings: list[Standing]) -> None:
            for standing in standings:
                progress.update(bars[standing.worker], completed=standing.consumed, total=standing.published or None)

        all_stages = stages(settings.topics, settings.model)
        walked = asyncio.create_task(walk(settings, all_stages, math.inf, lambda missing: None))
        try:
            standings = await followed.until_accounted(walked, look)
        finally:
            walked.cancel()
    telling.say("every record is accounted for")
    return standings


async def apply_everything() -> None:
    """Creates topics and stores."""
    await apply_topics(CommonSettings(), rejecting_names())
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
