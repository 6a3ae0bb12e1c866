"""Publishes a file."""

import asyncio
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from headrace_cli.errors import NOT_DONE, WRONG_CALL, CommandError
from headrace_cli.files.formats import rows, rows_to_delete
from headrace_cli.files.records import FileRecords, RowFormat
from headrace_cli.files.rows import BadRow
from headrace_cli.options import AsJson, OfKind
from headrace_cli.output import inert, messages, print_json, screen
from headrace_cli.publication import Summary, publish_records
from headrace_cli.source_producer import open_producer
from headrace_clients.kafka import max_message_bytes
from headrace_clients.topic_reader import partitions_of
from headrace_schemas.fields import MAX_VERSION
from headrace_worker.settings import CommonSettings

app = typer.Typer(rich_markup_mode="markdown", add_completion=False)
BAD_ROWS_SHOWN = 100


@app.command()
def publish(
    file: Annotated[Path, typer.Argument(help="JSONL, CSV, TSV (each may end in .gz) or Parquet.")],
    kind: OfKind,
    version_field: Annotated[str, typer.Option(help="The column that orders the changes of an id.")] = "version",
    rate: Annotated[float | None, typer.Option(min=0.001, help="The most rows a second.")] = None,
    delete: Annotated[
        bool, typer.Option("--delete", help="The file lists ids to delete; it may be plain text.")
    ] = False,
    version: Annotated[
        int | None, typer.Option(min=1, max=MAX_VERSION, help="With --delete: the version for ids without one.")
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Stop at the first bad row.")] = False,
    as_json: AsJson = False,
) -> None:
    """Publish a file of products or keywords to its topic, row by row, in constant memory.

    A bad row is reported with its line number; the other rows are published. A wrong quote ends a CSV file at its line,
    because the rows after it cannot be told apart. Publishing a file again is safe: a
    version that the stores have already changes nothing. Of two rows with the same id and version the stores keep the
    first; such rows are counted if they are less than 100,000 rows apart.
    """
    if version is not None and not delete:
        raise CommandError("--version is for --delete; a row to publish has its own version", WRONG_CALL)
    settings = CommonSettings()
    row_format = RowFormat(kind, version_field, delete, version, settings.kafka.max_record_bytes)
    records = FileRecords(rows_to_delete(file, kind) if delete else rows(file), row_format)
    summary = asyncio.run(_publish(records, settings, file, rate, strict))
    if as_json:
        print_json(asdict(summary))
    else:
        screen().print(_described(summary, settings.topics.source(kind)), markup=False, soft_wrap=True)
    if summary.bad:
        raise typer.Exit(NOT_DONE)


async def _publish(
    records: FileRecords, settings: CommonSettings, file: Path, rate: float | None, strict: bool
) -> Summary:
    topic = settings.topics.source(records.row_format.kind)
    await partitions_of(settings.kafka, [topic])
    limit = await max_message_bytes(settings.kafka, topic)
    records.row_format = replace(records.row_format, topic_bytes=limit)
    console = messages()
    with _progress(console) as progress:
        task = progress.add_task(file.name, total=records.file.size, rows="")

        def show(summary: Summary) -> None:
            progress.update(task, completed=records.file.position, rows=f"{summary.published:,} rows")

        reported = 0

        def report(row: BadRow) -> None:
            nonlocal reported
            reported += 1
            if reported <= BAD_ROWS_SHOWN:
                console.print(inert(f"{file}:{row.line}: {row.why}"), soft_wrap=True)
            elif reported == BAD_ROWS_SHOWN + 1:
                console.print("more bad rows follow; they are counted only")

        async with open_producer(settings, limit) as producer:
            return await publish_records(
                records, producer, rate=rate, strict=strict, on_progress=show, on_bad_row=report
            )


def _progress(console: Console) -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TextColumn("{task.fields[rows]}"))
    return Progress(*columns, TimeRemainingColumn(), console=console, disable=not console.is_terminal)


def _described(summary: Summary, topic: str) -> str:
    rate = summary.published / summary.seconds if summary.seconds else 0.0
    text = f"{summary.published:,} rows published to {topic} in {summary.seconds:.1f} s ({rate:,.0f}/s)"
    if summary.repeated:
        text += f"; {summary.repeated:,} of them repeat the id and version of an earlier row, which wins"
    if summary.stopped:
        return f"{text}; stopped at a bad row"
    return f"{text}; {summary.bad:,} bad rows" if summary.bad else text
