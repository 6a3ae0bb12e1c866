"""The workers as `headrace status` shows them. Importing this imports every installed worker."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rich.table import Table

from headrace_cli.kafka_offsets import NO_ANSWER, KafkaOffsets, open_offsets
from headrace_cli.output import inert, table
from headrace_cli.topic_graph import Reader, installed_listeners, installed_readers, letter_reader, levels
from headrace_cli.worker_states import WorkerState, worker_states
from headrace_clients.consumer_groups import OpenTransaction, open_transactions, unread
from headrace_clients.topic_reader import UnknownTopic
from headrace_worker.settings import CommonSettings

STYLES = {"ready": "green", "not known": "yellow", "not ready": "red", "not running": "red"}
ANSWER_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Workers:
    """`to_go`: by consumer group, the records that it has not committed."""

    states: Sequence[WorkerState]
    to_go: Mapping[str, int]
    transactions: Sequence[OpenTransaction]


def read_workers(settings: CommonSettings) -> Workers | str:
    """The workers, or why nothing is known of them."""
    try:
        return asyncio.run(_read(settings))
    except (*NO_ANSWER, UnknownTopic) as error:
        return f"Kafka at {settings.kafka.bootstrap_servers}: {error or type(error).__name__}"


def worker_objects(workers: Workers) -> list[dict[str, Any]]:
    """An object has the keys of a server and further ones; its name is that of the consumer group, or the partition."""
    common: dict[str, Any] = {"pid": None, "ports": {}}
    groups = [
        {"name": one.group, "state": one.state, **common, **asdict(one), "records_to_go": workers.to_go[one.group]}
        for one in workers.states
    ]
    return groups + [
        {"name": f"{one.topic}-{one.partition}", "state": "open transaction", **common, "records": one.records}
        for one in workers.transactions
    ]


def worker_table(workers: Workers) -> Table:
    """A row for each consumer group."""
    numbers = ("copies", "records to go", "conflicts")
    shown = table("consumer group", "state", *numbers, "problems and notes", right=numbers)
    for one in workers.states:
        conflicts = f"{one.conflicts:,}" if one.answering else "–"
        says = inert("; ".join([*one.problems, *one.notes]))
        state = f"[{STYLES[one.state]}]{one.state}[/]"
        shown.add_row(one.group, state, str(one.copies), f"{workers.to_go[one.group]:,}", conflicts, says)
    return shown


def transaction_lines(workers: Workers) -> list[str]:
    """A line for each open transaction."""
    return [
        f"{one.topic}-{one.partition}: {one.records:,} records cannot be read until a producer ends its transaction"
        for one in workers.transactions
    ]


async def _read(settings: CommonSettings) -> Workers:
    readers = [*installed_readers(settings), *installed_listeners(settings), letter_reader(settings)]
    async with asyncio.timeout(ANSWER_SECONDS):
        states = await worker_states(settings.kafka, readers)
        async with open_offsets(settings.kafka, time.monotonic()) as offsets:
            to_go = {reader.group: await _to_go(offsets, reader) for reader in readers}
        return Workers(
            states, to_go, await open_transactions(settings.kafka, levels(settings.topics, settings.model)[0])
        )


async def _to_go(offsets: KafkaOffsets, reader: Reader) -> int:
    partitions = await offsets.partitions(reader.topics | ({reader.replay} if reader.replay else set()))
    starts, ends = await offsets.starts(partitions), await offsets.ends(partitions)
    return sum(unread(starts, ends, await offsets.committed(reader.group)).values())
