"""The publication of a file: its pace, and the number of published and bad rows."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass

from headrace_cli.files.records import FileRecords
from headrace_cli.files.rows import BadRow, UnreadableFile
from headrace_cli.source_producer import SourceProducer

ROWS_BETWEEN_REPORTS = 200
SHORTEST_SLEEP = 0.01


@dataclass(slots=True)
class Summary:
    """The numbers of a file's rows. `repeated`: published, although an earlier row has the same id and version.

    `stopped`: whether a bad row ended the publication before the end of the file.
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
    on_progress: Callable[[Summary], None],
    on_bad_row: Callable[[BadRow], None],
) -> Summary:
    """Publishes every record and returns when all are acknowledged; with `strict`, up to the first bad row.

    `rate`: records a second at most. `on_progress` is called every few rows, `on_bad_row` for each bad row. Raises
    UnreadableFile, with the number of rows that are published, if the file cannot be read to its end.
    """
    summary, started = Summary(), time.monotonic()
    try:
        for number, record in enumerate(records):
            if number % ROWS_BETWEEN_REPORTS == 0:
                on_progress(summary)
            if isinstance(record, BadRow):
                summary.bad += 1
                on_bad_row(record)
                if strict:
                    summary.stopped = True
                    break
                continue
            await producer.publish(record)
            summary.published += 1
            if rate is not None:
                await _keep_pace(started, summary.published, rate)
    except UnreadableFile as error:
        await producer.flush()
        rows = f"{summary.published:,} rows before that are" if summary.published else "nothing is"
        raise UnreadableFile(f"{error}; {rows} published") from error
    await producer.flush()
    summary.repeated = records.repeated
    summary.seconds = round(time.monotonic() - started, 3)
    on_progress(summary)
    return summary


async def _keep_pace(started: float, published: int, rate: float) -> None:
    ahead = started + published / rate - time.monotonic()
    if ahead > SHORTEST_SLEEP:
        await asyncio.sleep(ahead)
