"""Waits until the open records are settled, and reports what became of them."""

import asyncio
import time
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.status import Status

from headrace_cli.dead.selection_options import moment
from headrace_cli.errors import NOT_DONE
from headrace_cli.options import AsJson
from headrace_cli.output import messages, print_json, screen
from headrace_cli.settlement import Settlement, settle
from headrace_cli.settlement_text import WaitReport, as_object, complaints, conclusion, outcome_table, transaction_line
from headrace_cli.waiting_letters import WaitingLetters, waiting_letters
from headrace_cli.worker_states import WorkerState, worker_states
from headrace_cli.worker_stores import store_problems
from headrace_clients.completion import Missing
from headrace_clients.consumer_groups import OpenTransaction, open_transactions
from headrace_clients.group_lag import ConsumerGroup, installed_groups
from headrace_clients.kafka_offsets import NO_ANSWER, KafkaSilent, open_offsets
from headrace_clients.topic_graph import levels
from headrace_letters.index_settings import IndexSettings

app = typer.Typer(rich_markup_mode="markdown", add_completion=False)
ASK_SECONDS = 3.0
"""Between two questions to the workers that have records to go."""
REPORT_WITHIN = 10.0
"""Seconds for each part of the report that is read after the records are settled or the time is up."""


@app.command()
def wait(
    timeout: Annotated[float, typer.Option(min=0, help="Seconds until it stops and reports what is missing.")] = 300.0,
    since: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="Also records since 2026-03-01T03:00, or of the last 90m, 12h, 2d."),
    ] = None,
    allow_dead: Annotated[bool, typer.Option(help="Exit status 0 also if records became dead letters.")] = False,
    as_json: AsJson = False,
) -> None:
    """Wait until the records that are open at the call are settled by every worker, and report what became of them.

    Open records are those that a worker has not committed, those of a transaction that its producer has not ended, and
    those that workers derive from them. At the end they can be searched. Exit status 1 if the time is up first, if a
    record became a dead letter, if an outcome is not known, or if a store does not answer. The workers must run:
    `headrace work`.
    """
    begin = moment("since", since, datetime.now(UTC))
    report = asyncio.run(_wait(timeout, begin))
    if as_json:
        print_json(as_object(report) | {"succeeded": report.succeeded(allow_dead)})
    else:
        if report.settlement.counts:
            screen().print(outcome_table(report.settlement))
        for line in conclusion(report):
            screen().print(line, markup=False, soft_wrap=True)
    for line in complaints(report, timeout):
        messages().print(line, markup=False, soft_wrap=True)
    if not report.succeeded(allow_dead):
        raise typer.Exit(NOT_DONE)


async def _wait(timeout: float, since: datetime | None) -> WaitReport:
    settings = IndexSettings()
    groups = installed_groups(settings)
    stages = [group for group in groups if group.role == "stage"]
    listeners = [group for group in groups if group.role == "listener"]
    with Status("counting", console=messages()) as status:
        watch = _Watch(settings, [*stages, *listeners], status)
        asking = asyncio.create_task(watch.ask())
        try:
            found = await settle(settings, stages, listeners, timeout, since=since, on_progress=watch.progress)
        finally:
            asking.cancel()
        status.update("reading the state of workers, stores and dead letters")
        return WaitReport(
            found,
            await _states(settings, stages, listeners),
            await _transactions(settings),
            await _letters(settings, stages, found),
            await store_problems(REPORT_WITHIN),
        )


class _Watch:
    """Shows what is missing, and says at once why a worker does not get further, each reason once."""

    def __init__(self, settings: IndexSettings, readers: Sequence[ConsumerGroup], status: Status) -> None:
        self._settings = settings
        self._readers = readers
        self._status = status
        self._missing: Sequence[Missing] = ()
        self._said: set[str] = set()

    def progress(self, missing: Sequence[Missing]) -> None:
        """Gets what is missing after each count."""
        self._missing = missing
        left = ", ".join(f"{part.worker} {part.records:,}" for part in missing)
        self._status.update(f"records to go: {left}")

    async def ask(self) -> None:
        """Asks the workers that have records to go, until it is cancelled."""
        while True:
            await asyncio.sleep(ASK_SECONDS)
            late = {part.worker for part in self._missing}
            with suppress(*NO_ANSWER):
                for state in await worker_states(self._settings.kafka, [r for r in self._readers if r.worker in late]):
                    if state.problems or not state.copies:
                        self._say(state.line, state.line)
                for one in await _open_transactions(self._settings) if late else ():
                    self._say(f"{one.topic}-{one.partition}", transaction_line(one))

    def _say(self, subject: str, line: str) -> None:
        if subject not in self._said:
            self._said.add(subject)
            messages().print(line, markup=False, soft_wrap=True)


async def _states(
    settings: IndexSettings, stages: Sequence[ConsumerGroup], listeners: Sequence[ConsumerGroup]
) -> list[WorkerState]:
    with suppress(*NO_ANSWER):
        async with asyncio.timeout(REPORT_WITHIN):
            return await worker_states(settings.kafka, [*stages, *listeners])
    return []


async def _transactions(settings: IndexSettings) -> list[OpenTransaction]:
    with suppress(*NO_ANSWER):
        async with asyncio.timeout(REPORT_WITHIN):
            return await _open_transactions(settings)
    return []


async def _open_transactions(settings: IndexSettings) -> list[OpenTransaction]:
    return await open_transactions(settings.kafka, levels(settings.topics, settings.model)[0])


async def _letters(
    settings: IndexSettings, stages: Sequence[ConsumerGroup], found: Settlement
) -> WaitingLetters | None:
    with suppress(*NO_ANSWER, KafkaSilent):
        async with open_offsets(settings.kafka, time.monotonic() + REPORT_WITHIN) as offsets:
            return await waiting_letters(settings, offsets, [reader.worker for reader in stages])
    return None
