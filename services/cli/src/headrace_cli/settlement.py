"""Follows the records that are open until their workers have settled them, and reports what became of each.

The open records of a worker are those between its committed offset and the end of its topics at the call, with those
of open transactions. The workers report in receipts what became of each record, and write a dead letter of each that
they reject; both before they commit it. So once a worker has committed a range, the receipts of the range can be read.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from headrace_cli.outcome_reader import OutcomeReader, find_missing_records
from headrace_cli.record_outcomes import Counts, Part, RecordOutcomes
from headrace_clients.completion import POLL_SECONDS, Incomplete, Missing, uncommitted
from headrace_clients.consumer_groups import Offsets
from headrace_clients.group_lag import ConsumerGroup
from headrace_clients.kafka_offsets import NO_ANSWER, KafkaOffsets, KafkaSilent, open_offsets
from headrace_clients.topic_graph import levels
from headrace_schemas.topics import SOURCE_NAMES
from headrace_worker.settings import CommonSettings

LOOK_BACK = timedelta(seconds=60)
"""A worker publishes the receipts of a batch before it commits the batch, so those of open records may be older than
the call.
"""
READ_WITHIN = 60.0
"""Seconds that the last reading of receipts may take longer than the time limit if Kafka does not answer."""


@dataclass(slots=True)
class Settlement:
    """What became of the records.

    `records`: the number of source records, `derived`: that of the records that workers published of them and of others
    meanwhile, `replays`: that of replayed dead letters. `missing`: what was not committed in time. `unfollowed`: the
    topics that were not followed, because the workers that write to them were not finished. `silent_since`: since when
    Kafka has not answered. `complete`: whether the receipts could be read to their end.
    """

    called_at: datetime
    since: datetime | None
    records: int = 0
    derived: int = 0
    replays: int = 0
    counts: Sequence[Counts] = ()
    missing: Sequence[Missing] = ()
    unfollowed: Sequence[str] = ()
    silent_since: datetime | None = None
    complete: bool = True
    seconds: float = 0.0

    @property
    def in_time(self) -> bool:
        """Whether every worker has committed everything in time."""
        return not self.missing and self.silent_since is None

    @property
    def dead(self) -> int:
        """The number of dead letters of these records."""
        return sum(counts.dead_letters for counts in self.counts)

    @property
    def unanswered(self) -> int:
        """The number of committed records without a receipt."""
        late = {(missing.worker, missing.topic) for missing in self.missing}
        return sum(counts.unanswered for counts in self.counts if (counts.worker, counts.topic) not in late)


OnProgress = Callable[[Sequence[Missing]], object]


async def settle(
    settings: CommonSettings,
    stages: Sequence[ConsumerGroup],
    listeners: Sequence[ConsumerGroup],
    timeout: float,
    *,
    since: datetime | None = None,
    on_progress: OnProgress = lambda missing: None,
) -> Settlement:
    """Returns when every record that is open at the call is settled, or after `timeout` seconds.

    `stages`: the readers that publish receipts. `since`: looks at the records from that time on, too. `on_progress`
    gets what is missing after each count. Raises what aiokafka raises if Kafka does not answer at first.
    """
    started, deadline = time.monotonic(), time.monotonic() + timeout
    found = Settlement(datetime.now(UTC), since)
    async with open_offsets(settings.kafka, deadline) as offsets:
        try:
            starts = await _report_starts(offsets, settings, stages, found)
            outcomes = RecordOutcomes(await _begins(offsets, settings, stages, since))
        except KafkaSilent as silent:
            found.silent_since = silent.since
            return found
        reader = OutcomeReader(settings, outcomes, starts)
        pinned: set[str] = set()

        def pin(readers: Sequence[ConsumerGroup], ends: Offsets) -> None:
            for one in readers:
                pinned.update(one.topics)
                outcomes.pin(one.worker, {part: end for part, end in ends.items() if part.topic in one.topics})

        topics = levels(settings.topics, settings.model)
        try:
            async for missing in uncommitted(offsets, [*stages, *listeners], topics, deadline, pin):
                on_progress(missing)
                with suppress(*NO_ANSWER):
                    await reader.read()
        except Incomplete as incomplete:
            found.missing = incomplete.missing
            found.silent_since = incomplete.kafka.since if incomplete.kafka else None
            found.unfollowed = sorted(frozenset[str]().union(*(one.topics for one in stages)) - pinned)
        try:
            await _read_the_rest(found, settings, reader, outcomes, deadline)
        finally:
            await reader.close()
    _count(found, outcomes, topics[0], {one.replay for one in stages if one.replay})
    found.seconds = time.monotonic() - started
    return found


async def _report_starts(
    offsets: KafkaOffsets, settings: CommonSettings, stages: Sequence[ConsumerGroup], found: Settlement
) -> Offsets:
    """Where to begin to read receipts and dead letters. Before the committed offsets are read, so that no receipt of an
    open record is missed.
    """
    dead = [settings.topics.dead(reader.worker) for reader in stages]
    partitions = await offsets.partitions([settings.topics.receipts, *dead])
    ends = await offsets.ends(partitions)
    begin = min(found.called_at, found.since or found.called_at) - LOOK_BACK
    return {**ends, **await offsets.at(partitions, begin)}


async def _begins(
    offsets: KafkaOffsets, settings: CommonSettings, stages: Sequence[ConsumerGroup], since: datetime | None
) -> dict[Part, int]:
    """The first open offset of each worker and partition."""
    topics = {reader: reader.topics | ({reader.replay} if reader.replay else set()) for reader in stages}
    partitions = await offsets.partitions(frozenset[str]().union(*topics.values()))
    starts = await offsets.starts(partitions)
    later = await offsets.at(partitions, since) if since is not None else {}
    begins = {}
    for reader, of_reader in topics.items():
        committed = await _committed(offsets, settings, reader)
        for partition in partitions:
            if partition.topic in of_reader:
                begin = max(starts[partition], committed.get(partition, 0))
                begins[Part(reader.worker, partition)] = min(begin, later.get(partition, begin))
    return begins


async def _committed(offsets: KafkaOffsets, settings: CommonSettings, reader: ConsumerGroup) -> Offsets:
    """The committed offsets of the worker. One that has not started since an upgrade will go on at those of its former
    group, as `headrace_runtime.group_succession` says: what lies before them is settled.
    """
    committed = await offsets.committed(reader.name)
    if committed or reader.former is None:
        return committed
    embedded = await offsets.partitions([settings.topics.embedded(kind, settings.model) for kind in SOURCE_NAMES])
    return await offsets.committed(reader.former) if any((await offsets.ends(embedded)).values()) else {}


async def _read_the_rest(
    found: Settlement, settings: CommonSettings, reader: OutcomeReader, outcomes: RecordOutcomes, deadline: float
) -> None:
    """Reads the receipts to their end, and which offsets have no record."""
    if found.silent_since is not None or not any(outcomes.pinned()):
        return
    while True:
        try:
            await reader.read()
            await find_missing_records(settings.kafka, outcomes, found.in_time)
            return
        except NO_ANSWER:
            if time.monotonic() > deadline + READ_WITHIN:
                found.complete = False
                return
        await asyncio.sleep(POLL_SECONDS)


def _count(found: Settlement, outcomes: RecordOutcomes, sources: frozenset[str], replays: set[str]) -> None:
    found.counts = outcomes.counts()
    found.records = outcomes.records_on(sources)
    found.replays = outcomes.records_on(replays)
    topics = {part.partition.topic for part, _ in outcomes.pinned()}
    found.derived = outcomes.records_on(topics - sources - replays)
