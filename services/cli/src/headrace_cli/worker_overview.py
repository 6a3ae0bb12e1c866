"""The workers as `headrace status` shows them. Importing this imports every installed worker."""

import asyncio
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.table import Table
from rich.text import Text

from headrace_cli.output import inert, table
from headrace_cli.worker_measures import Measures, delays_of, lag_seconds, measures, spoken_delay
from headrace_cli.worker_states import WorkerState, worker_states
from headrace_clients.consumer_groups import OpenTransaction, open_transactions, unread
from headrace_clients.group_lag import ConsumerGroup, installed_groups
from headrace_clients.kafka_obstacle import obstacle
from headrace_clients.kafka_offsets import NO_ANSWER, KafkaOffsets, open_offsets
from headrace_clients.topic_graph import levels
from headrace_clients.topic_reader import UnknownTopic
from headrace_clients.worker_metrics import Buckets, quantile
from headrace_schemas.topics import SOURCE_NAMES
from headrace_worker.settings import CommonSettings

STYLES = {"ready": "green", "not known": "yellow", "not ready": "red", "not running": "red"}
ANSWER_SECONDS = 20.0
RATE_SECONDS = 1.0
LONG = 100.0
"""Seconds that are shown without a decimal."""
CANARY = "canary"
"""The process that measures when a search finds a change. It is listed if it runs."""


@dataclass(frozen=True, slots=True)
class Workers:
    """`prefix`: of every consumer group; `model`: in the names of those that belong to a model. `to_go`: by consumer
    group, the records that it has not committed. `rates`: records a second that it commits; `ages`: seconds since the
    oldest record that it has not settled was published to its topic. `delays`: by group, from publication to applied.
    What is not known is missing.
    """

    prefix: str
    states: Sequence[WorkerState]
    to_go: Mapping[str, int]
    rates: Mapping[str, float]
    ages: Mapping[str, float]
    delays: Mapping[str, Buckets]
    measures: Measures
    transactions: Sequence[OpenTransaction]
    model: str


def read_workers(settings: CommonSettings) -> Workers | str:
    """The workers, or why nothing is known of them. It takes a second, in which it measures the rates."""
    try:
        return asyncio.run(_read(settings))
    except UnknownTopic as error:
        return f"Kafka at {settings.kafka.bootstrap_servers}: {error}"
    except NO_ANSWER as error:
        why = asyncio.run(obstacle(settings.kafka))
        if why is not None and why.kind != "unreachable":
            return why.detail
        return f"Kafka at {settings.kafka.bootstrap_servers}: {error or type(error).__name__}"


def worker_objects(workers: Workers) -> list[dict[str, Any]]:
    """An object has the keys of a server and further ones; its name is that of the consumer group, or the partition.
    Times are in seconds; what is not known is null.
    """
    common: dict[str, Any] = {"pid": None, "ports": {}}
    groups = [{"name": one.group, "state": one.state, **common, **_measured(one, workers)} for one in workers.states]
    return groups + [
        {"name": f"{one.topic}-{one.partition}", "state": "open transaction", **common, "records": one.records}
        for one in workers.transactions
    ]


def _measured(one: WorkerState, workers: Workers) -> dict[str, Any]:
    group, delays = one.group, workers.delays.get(one.group, {})
    p50, p99 = (_finite(quantile(delays, share)) for share in (0.5, 0.99))
    return {
        "worker": one.worker,
        "group": group,
        "copies": one.copies,
        "answering": one.answering,
        "problems": list(one.problems),
        "notes": list(one.notes),
        "conflicts": one.conflicts,
        "hosts": list(one.hosts),
        "records_to_go": workers.to_go[group],
        "records_a_second": workers.rates.get(group),
        "lag_seconds": workers.ages.get(group),
        "delay_p50": p50,
        "delay_p99": p99,
        "dead_letters_waiting": workers.measures.waiting.get(one.worker),
        "live": dict(workers.measures.live.get(one.worker, {})),
    }


def _finite(seconds: float | None) -> float | None:
    return None if seconds is None or math.isinf(seconds) else round(seconds, 4)


def worker_table(workers: Workers) -> Table:
    """A row for each consumer group, named without the prefix and the model."""
    numbers = ("copies", "per s", "lag", "lag s", "p50 / p99 s", "dead")
    shown = table("worker", "state", *numbers, right=numbers)
    for one in workers.states:
        shown.add_row(
            _name(one, workers),
            f"[{STYLES[one.state]}]{one.state}[/]",
            str(one.copies),
            _number(workers.rates.get(one.group), ",.0f"),
            f"{workers.to_go[one.group]:,}",
            _age(workers.ages.get(one.group)),
            spoken_delay(workers.delays.get(one.group, {})),
            _number(workers.measures.waiting.get(one.worker), ","),
        )
    shown.caption = (
        "per s: records committed in a second; lag: records not committed; lag s: age of the oldest; "
        "p50 / p99: from publication to applied; dead: letters that wait; –: not known"
    )
    return shown


def remarks(workers: Workers) -> list[Text]:
    """A line for each problem and note of a worker, for its conflicts, and for each open transaction."""
    lines = []
    for one in workers.states:
        conflicts = [f"{one.conflicts:,} conflict{'s' * (one.conflicts > 1)}"] if one.conflicts else []
        lines += [inert(f"{_name(one, workers)}: {text}") for text in (*one.problems, *one.notes, *conflicts)]
    return lines + [
        inert(
            f"{one.topic}-{one.partition}: {one.records:,} records cannot be read until a producer ends its transaction"
        )
        for one in workers.transactions
    ]


def _name(one: WorkerState, workers: Workers) -> str:
    return one.group.removeprefix(workers.prefix).replace(f".{workers.model}", "", 1)


def store_table(workers: Workers) -> Table:
    """The live entities of each store."""
    shown = table("store", "live products", "live keywords", right=("live products", "live keywords"))
    for name, counts in workers.measures.live.items():
        shown.add_row(name, *(_number(counts.get(kind), ",") for kind in SOURCE_NAMES))
    return shown


def _age(seconds: float | None) -> str:
    return _number(seconds, ",.1f" if seconds is None or seconds < LONG else ",.0f")


def _number(value: float | None, form: str) -> str:
    return "–" if value is None else format(value, form)


async def _read(settings: CommonSettings) -> Workers:
    readers = installed_groups(settings)
    canary = ConsumerGroup(CANARY, f"{settings.topic_prefix}{CANARY}", frozenset())
    async with asyncio.timeout(ANSWER_SECONDS), open_offsets(settings.kafka, time.monotonic()) as offsets:
        began = time.monotonic()
        before = {reader.name: sum((await offsets.committed(reader.name)).values()) for reader in readers}
        *states, of_canary = await worker_states(settings.kafka, [*readers, canary])
        found = await measures()
        transactions = await open_transactions(settings.kafka, levels(settings.topics, settings.model)[0])
        await asyncio.sleep(max(0.0, began + RATE_SECONDS - time.monotonic()))
        seconds = time.monotonic() - began
        after = {reader.name: sum((await offsets.committed(reader.name)).values()) for reader in readers}
        to_go = {reader.name: await _to_go(offsets, reader) for reader in readers}
    roles = {reader.name: reader.role for reader in readers}
    topics = {reader.name: reader.all_topics for reader in readers}
    ages = {one.group: lag_seconds(one, topics[one.group], of_canary.metrics) for one in states}
    return Workers(
        settings.topic_prefix,
        [*states, *([of_canary] if of_canary.copies else [])],
        to_go | {of_canary.group: 0},
        {group: max(0, after[group] - before[group]) / seconds for group in before},
        {group: age for group, age in ages.items() if age is not None},
        # A listener shares the metrics of its worker.
        {one.group: delays_of(one) for one in states if roles[one.group] != "listener"},
        found,
        transactions,
        settings.model,
    )


async def _to_go(offsets: KafkaOffsets, reader: ConsumerGroup) -> int:
    partitions = await offsets.partitions(reader.all_topics)
    starts, ends = await offsets.starts(partitions), await offsets.ends(partitions)
    return sum(unread(starts, ends, await offsets.committed(reader.name)).values())
