"""Whether every worker that reads a topic has answered for the record of a dead letter.

An edit gets its version by what the stores contain. Before that, a worker may still have the record, or newer changes
of its entity, to read. The check follows the records: first the workers that read the catalogue's topics, then, up to
the ends of that time, those that read what embed publishes. A letter that was replayed without an answer counts as
waiting after some time; its replay may still be unread.
"""

import asyncio
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from headrace_clients.consumer_groups import Offsets, committed_offsets, open_clients
from headrace_clients.topic_reader import partitions_of
from headrace_letters.installed_stores import InstalledStores
from headrace_letters.letter_rows import IndexedLetter
from headrace_schemas.changes import ID_FIELDS
from headrace_schemas.fields import Kind
from headrace_worker.settings import CommonSettings
from headrace_worker.worker import load_worker, worker_names

POLL_SECONDS = 0.25
Readers = Mapping[str, frozenset[str]]
"""The topics that each worker reads, by worker."""


@dataclass(slots=True)
class Unanswered:
    """The workers that have records to read: by partition of the catalogue's topics, which are `sources`; by kind, in
    any of these; by kind, in what embed publishes; and by worker, in its replays.
    """

    sources: frozenset[TopicPartition] = frozenset()
    partitions: dict[TopicPartition, str] = field(default_factory=dict)
    anywhere: dict[Kind, str] = field(default_factory=dict)
    kinds: dict[Kind, str] = field(default_factory=dict)
    replays: dict[str, str] = field(default_factory=dict)

    def why(self, kind: Kind, found: IndexedLetter) -> str | None:
        """Why no edit of the letter can be decided yet; None if every worker has answered."""
        letter = found.letter
        at = None if letter.failed is None else TopicPartition(*letter.failed[:2])
        own = self.partitions.get(at) if at in self.sources else self.anywhere.get(kind)
        return own or self.kinds.get(kind) or (self.replays.get(letter.worker) if found.replayed_at else None)


async def unanswered(
    settings: CommonSettings, stores: InstalledStores, letters: Sequence[tuple[Kind, IndexedLetter]], within: float
) -> Unanswered:
    """Waits up to `within` seconds until every worker has answered for these letters' records.

    Raises KafkaError, UnknownTopic.
    """
    found = Unanswered()
    if not letters:
        return found
    topics, deadline = settings.topics, time.monotonic() + within
    kinds = {kind for kind, _ in letters}
    workers = [worker for name in worker_names() if (worker := load_worker(name)).stage]
    inputs = {worker.name: frozenset(stores.target(worker.name).inputs) for worker in workers}
    readers = {name: of_worker | {topics.replay(name)} for name, of_worker in inputs.items()}
    replayed = {topics.replay(one.letter.worker): one.letter.worker for _, one in letters if one.replayed_at}
    groups = {worker.name: worker.group(settings) for worker in workers}
    async with open_clients(settings.kafka) as (consumer, admin):
        sources = {topics.source(kind): kind for kind in ID_FIELDS}
        ends: Offsets = await consumer.end_offsets(await partitions_of(settings.kafka, sources))
        found.sources = frozenset(ends)
        reading = _Reading(groups, readers, consumer, admin, deadline)
        for at, why in (await reading.until(_needed(letters, sources, ends))).items():
            found.partitions[at] = why
            found.anywhere[sources[at.topic]] = why
        embedded = {topic: kind for kind in kinds for topic in _embedded(topics.embedded(kind, ""), readers)}
        known = await partitions_of(settings.kafka, embedded)
        for at, why in (await reading.until(await consumer.end_offsets(known))).items():
            found.kinds.setdefault(embedded[at.topic], why)
        known = await partitions_of(settings.kafka, replayed) if replayed else []
        for at, why in (await reading.until(await consumer.end_offsets(known) if known else {})).items():
            found.replays[replayed[at.topic]] = why
    return found


def _embedded(prefix: str, readers: Readers) -> list[str]:
    """What embed publishes of a kind, for every model that a worker reads."""
    return [topic for topics in readers.values() for topic in topics if topic.startswith(prefix)]


def _needed(
    letters: Iterable[tuple[Kind, IndexedLetter]], sources: Mapping[str, Kind], ends: Offsets
) -> dict[TopicPartition, int]:
    """The offsets that the workers must have reached: those after the letters' records. A letter of a later topic does
    not say where its record was: then the present ends count.
    """
    needed: dict[TopicPartition, int] = {}
    for kind, found in letters:
        at = found.letter.failed
        own = TopicPartition(at.topic, at.partition) if at is not None else None
        if at is not None and own in ends:
            needed[own] = max(needed.get(own, 0), min(at.offset + 1, ends[own]))
        else:
            needed |= {partition: end for partition, end in ends.items() if sources[partition.topic] == kind}
    return needed


class _Reading:
    """The committed offsets of the workers, until a deadline. `groups`: their consumer groups, by worker."""

    def __init__(
        self,
        groups: Mapping[str, str],
        readers: Readers,
        consumer: AIOKafkaConsumer,
        admin: AIOKafkaAdminClient,
        deadline: float,
    ) -> None:
        self._groups = groups
        self._readers = readers
        self._consumer = consumer
        self._admin = admin
        self._deadline = deadline

    async def until(self, needed: Offsets) -> dict[TopicPartition, str]:
        """Waits until every reader has reached these offsets; returns who has not, by partition."""
        while behind := await self._behind(needed):
            if time.monotonic() > self._deadline:
                break
            await asyncio.sleep(POLL_SECONDS)
        return behind

    async def _behind(self, needed: Offsets) -> dict[TopicPartition, str]:
        starts: Offsets = await self._consumer.beginning_offsets(list(needed))
        behind: dict[TopicPartition, str] = {}
        for name, topics in self._readers.items():
            own = {partition: offset for partition, offset in needed.items() if partition.topic in topics}
            committed = await committed_offsets(self._admin, self._groups[name]) if own else {}
            for at, offset in own.items():
                left = offset - max(starts.get(at, 0), committed.get(at, 0))
                if left > 0:
                    records = "1 record" if left == 1 else f"{left:,} records"
                    behind[at] = f"{name} has {records} of {at.topic} to read before this can be decided: try again"
        return behind
