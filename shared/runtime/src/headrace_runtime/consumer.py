"""A consumer that loses no record of a healthy partition when a record of another partition cannot be unpacked.

If one partition raises, aiokafka's getmany drops the records that it has already taken from other partitions, and the
next commit would cover them. So after each failed poll every partition is set back to its committed offset. Then the
partition at fault is found and held, and the others continue.
"""

import asyncio
from collections.abc import Collection, Mapping
from contextlib import suppress
from typing import Any, cast

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import ConsumerStoppedError, IllegalStateError, KafkaError

from headrace_runtime.assignment import Assignment, Repair
from headrace_runtime.health import Health
from headrace_runtime.holds import Holds
from headrace_runtime.kafka_start import KafkaStart
from headrace_runtime.lag import Lag
from headrace_runtime.metrics import Metrics
from headrace_runtime.open_transactions import Marks, OpenTransactions
from headrace_runtime.poll_limit import PollLimit
from headrace_runtime.unreadable import UnreadablePartitions, cannot_unpack

log = structlog.get_logger(__name__)

PROBE_MS = 5000
BULK_RECORDS = 128
"""Records in bulk of one poll, and half of the poll at most: both kinds make progress, whatever waits."""
COMMIT_WITHIN = 5.0
"""Seconds that the commit of an idle consumer may take; it is tried again at the next poll."""

Polled = dict[TopicPartition, list[Any]]


class PartitionConsumer(AIOKafkaConsumer):  # type: ignore[misc]  # aiokafka has no types
    """The consumer of one consumer group of a worker. Each poll is a heartbeat and waits up to `wait_ms`.

    `in_bulk`: topics whose records give way to those of the others. `max_bytes`, `largest_value`: see `PollLimit`.
    `inputs`, `repair`: see `Assignment`. `options`: those of aiokafka's consumer.
    """

    def __init__(
        self,
        *topics: str,
        health: Health,
        metrics: Metrics,
        holds: Holds,
        wait_ms: int,
        max_bytes: int,
        largest_value: int,
        inputs: Collection[str],
        repair: Repair,
        kafka: KafkaStart,
        in_bulk: Collection[str] = (),
        **options: Any,
    ) -> None:
        self._limit = PollLimit(max_bytes, largest_value)
        super().__init__(*topics, **options | {"value_deserializer": self._limit.kept})
        self._kafka = kafka
        self._group: str = options["group_id"]
        self._health = health
        self._holds = holds
        self._wait_ms = wait_ms
        self._in_bulk = frozenset(in_bulk)
        self._rewind_due = False
        self._repair = repair
        self._assignment = Assignment(self, health, metrics, inputs, repair.records_expired)
        self._transactions = OpenTransactions(health, metrics)
        self._unreadable = UnreadablePartitions(self, health, metrics)
        self._lag = Lag(self)
        metrics.lag.follow(self._lag)
        self._committed: dict[TopicPartition, int] = {}
        self._paused_with_topic: set[TopicPartition] = set()

    async def start(self) -> None:
        """Like aiokafka's, but first waits until Kafka can be used."""
        await self._kafka.ready(self._group, self.subscription())
        await super().start()

    def subscribe(self, topics: Any = (), pattern: str | None = None, listener: Any = None) -> None:
        """Like aiokafka's. `listener` is not used: the one that FastStream gives only writes log lines."""
        super().subscribe(topics, pattern, self._assignment)

    async def getmany(self, *partitions: TopicPartition, timeout_ms: int = 0, max_records: int | None = None) -> Polled:
        """The next records of every partition that can be read; {} after `wait_ms` without a record."""
        self._health.needs(asyncio.current_task(), self._fetching())
        self._health.beat()
        if self._rewind_due:
            # Kafka could not be reached after a failed poll: positions are beyond records that nobody has got.
            await self._rewind()
        self._unreadable.release()
        self._follow_holds()
        size = self._health.poll_size(max_records)
        try:
            records = await self._poll(size)
        except ConsumerStoppedError:
            raise
        except Exception as error:
            await self._rewind()
            if not cannot_unpack(error):
                raise
            self._rewind_due = True
            records = await self._hold_unreadable(size)
            self._rewind_due = False
        finally:
            self._health.beat()
        if self._holds.all_paused:
            # The pause came during the poll.
            for partition, taken in records.items():
                self.seek(partition, taken[0].offset)
            records = {}
        positions = await self._positions()
        if self._holds.causes:
            self._release_passed(positions, records)
        if not records:
            await self._commit_passed(positions)
        self._lag.polled(records, positions)
        self._report_transactions(positions)
        return records

    async def commit(self, offsets: Mapping[TopicPartition, int] | None = None) -> None:
        """Like aiokafka's: without `offsets` the position of every partition. Of a held topic that is the first record
        that was set aside.

        Waits until it is known what has expired. Commits nothing while a repair of that is due: the next batch
        publishes it first, and its commit covers these offsets.
        """
        if offsets is None:
            self._lag.settled(self._holds.set_aside().keys())
        await self._assignment.checked()
        if self._repair.due:
            return
        self._follow_holds()
        committed = offsets or await self._positions()
        await super().commit(offsets)
        self._committed |= committed

    async def check(self) -> None:
        """One small request to the leader of each assigned partition, or to any broker. Raises KafkaError."""
        assigned = self.assignment()
        await (self.end_offsets(assigned) if assigned else self.topics())

    def seek(self, partition: TopicPartition, offset: int) -> None:
        """Like aiokafka's, but does nothing for a partition that a rebalance has taken away."""
        try:
            super().seek(partition, offset)
        except IllegalStateError:
            log.info("partition_lost_before_seek", topic=partition.topic, partition=partition.partition)

    def _fetching(self) -> "asyncio.Future[None] | None":
        """aiokafka's task that fetches records: without it every poll is empty, and no error is raised."""
        fetcher = getattr(self, "_fetcher", None)
        return None if fetcher is None else fetcher.error_future

    async def _poll(self, most: int | None) -> Polled:
        """The records in bulk come last. The poll waits only if nothing else has come."""
        self._limit.begin()
        if not self._in_bulk or most is None:
            return await self._take(most, self._wait_ms)
        assigned = self.assignment()
        bulk = {partition for partition in assigned if partition.topic in self._in_bulk}
        few = min(BULK_RECORDS, max(1, most // 2))
        first = await self._take(most - few, 0, *(assigned - bulk)) if assigned - bulk else {}
        if not first:
            return await self._take(few, self._wait_ms)
        return first | await self._take(few, 0, *bulk) if bulk and not self._limit.reached else first

    async def _take(self, most: int | None, wait_ms: int, *partitions: TopicPartition) -> Polled:
        """Takes records in parts, so small that even the largest values end the poll at its limit."""
        polled: Polled = {}
        left = most
        while left is None or left > 0:
            part = self._limit.records if left is None else min(self._limit.records, left)
            taken = cast(Polled, await super().getmany(*partitions, timeout_ms=wait_ms, max_records=part))
            for partition, records in taken.items():
                polled.setdefault(partition, []).extend(records)
                left = None if left is None else left - len(records)
            if not taken or self._limit.reached:
                break
            wait_ms = 0
        return polled

    def _follow_holds(self) -> None:
        """Sets partitions back to the first record that was set aside, pauses those of held topics, or all while the
        worker is paused, and resumes those that are to be read again. A rebalance resumes all partitions, so they are
        paused again here.
        """
        for partition, offset in self._holds.take_set_back().items():
            self.seek(partition, offset)
        if not (self._holds.causes or self._paused_with_topic or self._holds.all_paused):
            return
        assigned = self.assignment()
        if assigned:
            self._holds.release(self._holds.set_aside().keys() - assigned)
        paused = self._holds.paused()
        wanted = {partition for partition in assigned if self._holds.all_paused or partition.topic in paused}
        self.pause(*wanted)
        self.resume(*((self._paused_with_topic & assigned) - wanted - self._unreadable.held()))
        self._paused_with_topic = wanted

    def _release_passed(self, positions: Mapping[TopicPartition, int], records: Polled) -> None:
        """Releases what was set aside and is not in the topic any more: retention or compaction removed it."""
        set_aside = self._holds.set_aside().items()
        self._holds.release([of for of, first in set_aside if of not in records and positions.get(of, first) > first])

    async def _rewind(self) -> None:
        self._rewind_due = True
        # Not seek_to_committed: it leaves a partition where it is when the committed offset is 0.
        committed = {partition: await self.committed(partition) for partition in self.assignment()}
        for partition, offset in committed.items():
            if offset is not None:
                self.seek(partition, offset)
        never_committed = [partition for partition, offset in committed.items() if offset is None]
        if never_committed:
            await self.seek_to_beginning(*never_committed)
        self._rewind_due = False

    async def _hold_unreadable(self, most: int | None) -> Polled:
        """Polls each partition alone to find those that raise, and pauses them.

        Returns the records of such a partition that precede the one that cannot be unpacked; the position of every
        other partition stays as it is.
        """
        assigned = sorted(self.assignment() - self.paused())
        ends = await self.end_offsets(assigned)
        readable: Polled = {}
        for partition in assigned:
            start = await self.position(partition)
            if start >= ends[partition]:
                continue
            _, error = await self._probe(partition, most)
            self.seek(partition, start)
            if error is not None:
                readable[partition] = await self._records_before_unreadable(partition, most)
                self._unreadable.hold(partition, error)
        return {partition: records for partition, records in readable.items() if records}

    async def _records_before_unreadable(self, partition: TopicPartition, most: int | None) -> list[Any]:
        records: list[Any] = []
        while most is None or len(records) < most:
            one, error = await self._probe(partition, 1)
            if error is not None or not one:
                break
            records += one
        return records

    async def _probe(self, partition: TopicPartition, most: int | None) -> tuple[list[Any], Exception | None]:
        try:
            taken = cast(Polled, await super().getmany(partition, timeout_ms=PROBE_MS, max_records=most))
        except ConsumerStoppedError:
            raise
        except Exception as error:
            if not cannot_unpack(error):
                raise
            return [], error
        return taken.get(partition, []), None

    async def _positions(self) -> dict[TopicPartition, int]:
        """The next offset of every partition that is read and whose position is known, without waiting."""
        positions: dict[TopicPartition, int] = {}
        for partition in self.assignment():
            with suppress(TimeoutError, KafkaError):
                async with asyncio.timeout(0):
                    positions[partition] = await self.position(partition)
        return positions

    async def _commit_passed(self, positions: Mapping[TopicPartition, int]) -> None:
        """Commits the positions after an empty poll, if they moved without a record: the marker of a transaction, the
        records of an aborted one and those that compaction removed take offsets that no batch ever commits.

        Nothing is in flight at a poll, and the positions of records that were given back have been set back, so that
        every record before a position is settled. A held partition is left alone.
        """
        read = positions.keys() - self.paused()
        passed = {partition: positions[partition] for partition in read if self._is_passed(partition, positions)}
        if not passed:
            return
        try:
            async with asyncio.timeout(COMMIT_WITHIN):
                await self.commit(passed)
        except (KafkaError, TimeoutError) as error:
            log.info("position_not_committed", raised=type(error).__name__)

    def _is_passed(self, partition: TopicPartition, positions: Mapping[TopicPartition, int]) -> bool:
        return positions[partition] != self._committed.get(partition, 0)

    def _report_transactions(self, positions: Mapping[TopicPartition, int]) -> None:
        marks: dict[TopicPartition, Marks] = {}
        for partition in positions:
            highwater, stable = self.highwater(partition), self.last_stable_offset(partition)
            if highwater is not None:
                # A broker without transactions has no last stable offset.
                marks[partition] = Marks(highwater, highwater if stable is None or stable < 0 else stable)
        self._transactions.report(marks)
