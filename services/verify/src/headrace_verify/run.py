"""Runs the command: compares, shows the progress, and prints the report."""

import asyncio
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from tempfile import gettempdir

from aiokafka.errors import KafkaError
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from headrace_verify.compared_store import open_compared, without_scan
from headrace_verify.comparison import OnProgress, Options, compare, compare_and_repair
from headrace_verify.link_comparison import open_link_stores
from headrace_verify.printout import print_json, print_purged, print_purged_json, print_text
from headrace_verify.purge import Purged, purge, shortest_age
from headrace_verify.report import Report
from headrace_worker.opened_stores import workers
from headrace_worker.settings import CommonSettings
from headrace_worker.stage import Unavailable

RIGHT, DIFFERENT, WRONG_CALL, NOT_KNOWN = 0, 1, 2, 3


@dataclass(frozen=True, slots=True)
class Call:
    """The options of the command."""

    stores: tuple[str, ...]
    sample: int | None
    timeout: float
    repair: bool
    as_json: bool


def run(call: Call) -> int:
    """The exit status. Raises ValidationError for wrong settings."""
    names = [worker.name for worker in workers() if worker.scan is not None or worker.links is not None]
    if unknown := sorted(set(call.stores) - set(names)):
        sys.stderr.write(
            f"headrace: {unknown[0]!r} has no store that can be compared; these have: {', '.join(names)}\n"
        )
        return WRONG_CALL
    try:
        report = asyncio.run(_compared(call))
    except Unavailable as error:
        # Nothing is known: neither that all is well nor that something differs.
        report = Report(problem=f"{error.store}: {error.detail}")
    except (KafkaError, OSError, TimeoutError) as error:
        report = Report(problem=f"kafka: does not answer: {type(error).__name__}")
    except sqlite3.Error as error:
        report = Report(problem=f"the temporary file below {gettempdir()} cannot be used: {error}")
    (print_json if call.as_json else print_text)(report)
    return status(report)


def run_purge(stores: tuple[str, ...], days: float, as_json: bool) -> int:
    """Removes old tombstones; the exit status. Raises Unavailable if Kafka does not tell how long letters stay."""
    least, purged = asyncio.run(_purged(stores, days))
    if days < least:
        sys.stderr.write(
            f"headrace: dead letters stay for {least:g} days, and a tombstone must keep their replays out: "
            f"--older-than {least:g} or more\n"
        )
        return WRONG_CALL
    (print_purged_json if as_json else print_purged)(purged)
    return NOT_KNOWN if any(one.problem for one in purged) else RIGHT


async def _purged(names: tuple[str, ...], days: float) -> tuple[float, list[Purged]]:
    settings = CommonSettings()
    least = await shortest_age(settings)
    if days < least:
        return least, []
    async with open_compared(settings, names) as stores:
        return least, await purge(stores, days)


def status(report: Report) -> int:
    """The exit status of a report. What differs is known also if another store was not read."""
    if report.different:
        return DIFFERENT
    return RIGHT if report.known else NOT_KNOWN


async def _compared(call: Call) -> Report:
    settings = CommonSettings()
    with _bar() as on_progress:
        async with open_compared(settings, call.stores) as stores, open_link_stores(call.stores) as links:
            compared = compare_and_repair if call.repair else compare
            report = await compared(settings, stores, links, Options(call.sample, call.timeout), on_progress)
    if not call.stores:
        report.not_compared = without_scan()
    return report


@contextmanager
def _bar() -> Iterator[OnProgress]:
    """A progress bar, which only a terminal shows."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description:<16}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        tasks: dict[str, TaskID] = {}

        def show(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = bar.add_task(what, total=None)
            bar.update(tasks[what], completed=done, total=total)

        yield show
