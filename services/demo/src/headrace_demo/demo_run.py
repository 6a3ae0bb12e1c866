"""One run of the demo on servers and workers that run: publish, follow every record, compare the stores."""

import asyncio
import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from headrace_cli.source_producer import SourceProducer, open_producer
from headrace_clients.completion import until_committed
from headrace_clients.group_lag import installed_groups
from headrace_clients.topic_graph import levels, readers_of
from headrace_demo.catalogue.events import Event
from headrace_demo.entity_comparison import compare_store
from headrace_demo.findings import Findings, load_figures, worker_figures
from headrace_demo.keyword_change import KeywordChange, LinkState, Plan, link_state, plan_change, until_readable
from headrace_demo.label_recall import label_recall
from headrace_demo.link_comparison import compare_link_stores
from headrace_demo.progress import RunProgress, WorkerProgress, open_progress
from headrace_demo.scenario import Scenario
from headrace_demo.step_log import StepLog
from headrace_schemas.links import ProductLinks
from headrace_worker.settings import CommonSettings
from headrace_worker.store import LinkStore, Store
from headrace_worker.worker import Worker, load_worker

CHANGES_A_SECOND = 100.0
LONGEST_PUBLICATION = 10.0
"""Seconds. Very many changes are published at a higher rate, so that they take no longer."""
LINKS_SHOWN_FROM = "elasticsearch"


async def run_scenario(
    scenario: Scenario, stores: Mapping[str, Store], link_stores: Mapping[str, LinkStore], log: StepLog
) -> Findings:
    """Publishes the scenario, waits until every record is settled, and compares the stores.

    Raises CommandError if the workers stop settling records.
    """
    settings = CommonSettings()
    readers = [group for group in installed_groups(settings) if group.role == "stage"]
    shown_links = link_stores[LINKS_SHOWN_FROM]
    async with open_producer(settings) as producer, open_progress(settings, readers) as progress:
        totals = progress.totals
        started = datetime.now(UTC)
        await _publish(scenario, scenario.creations(), producer)
        log.done(f"published {scenario.products:,} products and {scenario.keywords:,} keywords")
        await _until_settled(progress, settings, log)
        loads = {reader.worker: load_figures(totals.of(reader.worker), started) for reader in readers}

        rate = max(CHANGES_A_SECOND, scenario.change_count / LONGEST_PUBLICATION)
        await _publish(scenario, scenario.changes(), producer, rate)
        log.done(f"published {scenario.change_count:,} changes, {rate:,.0f} a second:")
        log.console.print(f"  {_listed(scenario.count_by_cause())}", soft_wrap=True)
        await _until_settled(progress, settings, log)

        links_before = totals.of("link").outcomes["applied"]
        started_change = await _change_a_keyword(scenario, producer, link_stores, log)
        final = await _until_settled(progress, settings, log)
        relinked = totals.of("link").outcomes["applied"] - links_before

    source_topics = levels(settings.topics, settings.model)[0]
    changed_keyword = started_change.plan.keyword_id if started_change else None
    return Findings(
        published=len(scenario.published),
        malformed=scenario.malformed,
        source_readers=frozenset(reader.worker for reader in readers_of(source_topics, readers)),
        workers=[worker_figures(p, totals.of(p.worker), loads[p.worker], source_topics) for p in final],
        stores={
            name: await compare_store(name, store, scenario.published, settings.model) for name, store in stores.items()
        },
        links=await compare_link_stores(settings, link_stores),
        keyword_change=await _outcome(started_change, shown_links, relinked) if started_change else None,
        labels=await label_recall(scenario, shown_links, changed_keyword),
    )


async def _publish(
    scenario: Scenario, events: Iterable[Event], producer: SourceProducer, rate: float | None = None
) -> None:
    started, before = time.monotonic(), len(scenario.published)
    async for published in scenario.publish(events, producer):
        if rate is not None:
            await asyncio.sleep(max(0.0, started + (published - before) / rate - time.monotonic()))


@dataclass(frozen=True, slots=True)
class _StartedChange:
    """A keyword's change when the product's new links are readable. Other products may not be linked again yet."""

    plan: Plan
    before: LinkState
    seconds: Mapping[str, float]


async def _change_a_keyword(
    scenario: Scenario, producer: SourceProducer, stores: Mapping[str, LinkStore], log: StepLog
) -> _StartedChange | None:
    """Gives a keyword the title of a product; returns when its links are readable. None if there is no such pair."""
    readable_in = {name: store for name, store in stores.items() if _reads_link_sets(load_worker(name))}
    plan = await plan_change(scenario.published, stores[LINKS_SHOWN_FROM])
    if plan is None:
        return None
    before = await link_state(plan, stores[LINKS_SHOWN_FROM])
    change = plan.change()
    await _publish(scenario, [change], producer)
    log.done(f"published that {plan.keyword_id} is now {change.record['text']!r}")
    return _StartedChange(plan, before, await until_readable(plan, readable_in))


def _reads_link_sets(worker: Worker) -> bool:
    """Whether the worker stores the link sets that are published. The worker `link` does not, it computes them."""
    return ProductLinks in worker.inputs(worker.settings()).values()


async def _outcome(started: _StartedChange, store: LinkStore, relinked: int) -> KeywordChange:
    text = (started.plan.keyword["text"], started.plan.product["title"])
    after = await link_state(started.plan, store)
    return KeywordChange(started.plan.keyword_id, text, started.before, after, started.seconds, relinked)


async def _until_settled(progress: RunProgress, settings: CommonSettings, log: StepLog) -> list[WorkerProgress]:
    """Shows a bar for each worker until there is a receipt for every record."""
    committed = asyncio.create_task(
        until_committed(settings, levels(settings.topics, settings.model), math.inf, lambda missing: None)
    )
    try:
        with _bars(progress, log.console) as show:
            final = await progress.until_settled(committed, show)
    finally:
        committed.cancel()
    log.done("every record is accounted for")
    return final


@contextmanager
def _bars(progress: RunProgress, console: Console) -> Iterator[Callable[[list[WorkerProgress]], None]]:
    columns = (TextColumn("{task.description:<14}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as display:
        bars = {reader.worker: display.add_task(reader.worker, total=None) for reader in progress.readers}

        def show(workers: list[WorkerProgress]) -> None:
            for worker in workers:
                display.update(bars[worker.worker], completed=worker.consumed, total=worker.published or None)

        yield show


def _listed(counts: dict[str, int]) -> str:
    return ", ".join(f"{count} {cause}" for cause, count in counts.items() if cause != "create")
