"""Publishes what a file holds, at a pace, and counts what became of it."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass

from headrace_cli.files.records import FileRecords
from headrace_cli.files.rows import BadRow
from headrace_cli.source_producer import SourceProducer

RECORDS_BETWEEN_LOOKS = 200
SHORTEST_SLEEP = 0.01


@dataclass(slots=True)
class Summary:
    """What became of a file's rows. `repeated`: published, although an earlier row had that id and version.

    `stopped`: whether a bad row ended it before the end of the file.
    """

    published: int = 0
    bad: int = 0
    repeated: int = 0
    seconds: float = 0.0
    stopped: bool = False


async def publish_records(
    records: FileRecords,
    producer: SourceProducer,
    *,
    rate: float | None,
    strict: bool,
    look: Callable[[Summary], None],
    report: Callable[[BadRow], None],
) -> Summary:
    """Publishes every record and returns when all are acknowledged; with `strict`, up to the first bad row.

    `rate`: records a second at most. `look` is called every few records, `report` for each bad row.
    """
    summary, started = Summary(), time.monotonic()
    for number, record in enumerate(records):
        if number % RECORDS_BETWEEN_LOOKS == 0:
            look(summary)
        if isinstance(record, BadRow):
            summary.bad += 1
            report(record)
            if strict:
                summary.stopped = True
                break
            continue
        await producer.publish(record)
        summary.published += 1
        if rate is not None:
            await _keep_pace(started, summary.published, rate)
    await producer.flush()
    summary.repeated = records.repeated
    summary.seconds = round(time.monotonic() - started, 3)
    look(summary)
    return summary


async def _keep_pace(started: float, published: int, rate: float) -> None:
    ahead = started + published / rate - time.monotonic()
    if ahead > SHORTEST_SLEEP:
        await asyncio.sleep(ahead)
