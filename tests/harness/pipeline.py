"""The whole pipeline on real servers: every worker as a process, a changing catalogue, and the expected state."""

import asyncio
import itertools
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from harness.processes import WorkerProcess
from harness.records import ReceiptReader, eventually, read_all
from harness.servers import SERVERS, Servers
from headrace_cli.kafka_topics import apply_topics
from headrace_clients.kafka import producer
from headrace_demo.catalogue.changes import changes, creations
from headrace_demo.catalogue.events import Change, Event
from headrace_demo.current_embeddings import read_embeddings
from headrace_demo.entity_comparison import expected_entities, stored_entity
from headrace_demo.link_comparison import compare_links
from headrace_expected.differences import Comparison
from headrace_expected.entities import Entity, Expected
from headrace_link.log_ends import Ends, LogEnds
from headrace_schemas.changes import CHANGES, ID_FIELDS
from headrace_schemas.digest import FORM
from headrace_worker.settings import WorkerSettings
from headrace_worker.store import Stored
from headrace_worker.worker import load_worker, rejecting_names, worker_names

SETTLED_WITHIN = 180.0
SESSION_SECONDS = "6"
"""The least that the settings allow. After this time another worker gets the partitions of a killed worker."""
REQUEST_SECONDS = "8"
"""How long a worker waits for a paused store before the store counts as unavailable."""
SWEEP_SECONDS = "3"
"""How long a sweep waits for keywords on their way. A worker that is stopped finishes this wait first."""
RECORDS_A_POLL = "40"
"""Small, so that a fault in the stream interrupts a batch."""


class Pipeline:
    """Every installed worker as a process, on a topic prefix of its own.

    `variables`: further settings, without the prefix HEADRACE_. `directory`: of the logs.
    """

    def __init__(self, servers: Servers, directory: Path, **variables: str) -> None:
        self.prefix = f"c{uuid.uuid4().hex[:8]}."
        self._servers = servers
        self.directory = directory
        self.variables = {
            "TOPIC_PREFIX": self.prefix,
            "BATCH__MAX_RECORDS": RECORDS_A_POLL,
            "KAFKA__SESSION_TIMEOUT": SESSION_SECONDS,
            "QDRANT__TIMEOUT": REQUEST_SECONDS,
            "ELASTICSEARCH__TIMEOUT": REQUEST_SECONDS,
            "POSTGRES__TIMEOUT": REQUEST_SECONDS,
            "LINK__SWEEP_WAIT": SWEEP_SECONDS,
        } | variables
        self.settings = servers.settings(WorkerSettings, *SERVERS, **self.variables)
        self._receipts = ReceiptReader(self.settings)
        self._log_ends = LogEnds(self.settings.kafka)
        self.workers = {name: self.process(name) for name in worker_names()}

    def process(self, name: str, copy: str = "") -> WorkerProcess:
        """Makes a process of that worker and does not start it."""
        return WorkerProcess(name, self.environment, self.directory, copy)

    @property
    def environment(self) -> dict[str, str]:
        """The HEADRACE_ variables of its workers and commands."""
        return dict(self._servers.need()) | {f"HEADRACE_{key}": value for key, value in self.variables.items()}

    async def open(self) -> None:
        """Makes the topics and the stores, and starts every worker."""
        await apply_topics(self.settings, rejecting_names())
        for name in self.workers:
            for opened in (self.store(name), self.links(name), self.tables(name)):
                async with opened as store:
                    if store is not None:
                        await store.prepare()
        for worker in self.workers.values():
            worker.start()
        for worker in self.workers.values():
            await asyncio.to_thread(worker.wait_for, "worker_started")

    async def close(self) -> None:
        """Closes the connections and ends every worker."""
        await self._receipts.close()
        await self._log_ends.close()
        for worker in self.workers.values():
            worker.end()

    def settings_of(self, name: str) -> Any:
        """A worker's settings."""
        return self._servers.settings(load_worker(name).settings, **self.variables)

    def store(self, name: str) -> AbstractAsyncContextManager[Any]:
        """Opens the read side of a worker's store; None if it has none."""
        return self._opened(name, load_worker(name).store)

    def links(self, name: str) -> AbstractAsyncContextManager[Any]:
        """Opens the link sets of a worker's store; None if it has none."""
        return self._opened(name, load_worker(name).links)

    def tables(self, name: str) -> AbstractAsyncContextManager[Any]:
        """Opens the tables that a worker has beside its store; None if it has none."""
        return self._opened(name, load_worker(name).tables)

    @asynccontextmanager
    async def _opened(self, name: str, opener: Callable[[Any], Any] | None) -> AsyncIterator[Any]:
        if opener is None:
            yield None
            return
        opened = opener(self.settings_of(name))
        try:
            yield opened
        finally:
            await opened.close()

    async def publish_during(self, fault: asyncio.Task[None], events: Iterable[Event], a_second: float) -> list[Event]:
        """Publishes in order, so many a second, until the fault is over and a second longer.

        Returns the published events once all are acknowledged. Raises AssertionError if the events run out before.
        """
        client = producer(self.settings.kafka, linger_ms=0)
        await client.start()
        try:
            published, sent, left = [], [], a_second
            for event in events:
                topic = self.settings.topics.source(event.kind)
                sent.append(await client.send(topic, event.value, key=event.key))
                published.append(event)
                await asyncio.sleep(1 / a_second)
                left -= fault.done()
                if left < 0:
                    break
            assert fault.done(), f"{len(published)} events were published before the fault was over"
            await asyncio.gather(*sent)
            return published
        finally:
            await client.stop()

    async def settled(self) -> None:
        """Waits until every worker has reported every record of its topics, and link has read every receipt."""
        for name in ("embed", "qdrant"):
            await eventually(lambda worker=name: self._has_reported_all(worker), within=SETTLED_WITHIN)
        receipts = self.settings.topics.receipts
        ends = await self._log_ends.of_topic(receipts)
        await eventually(lambda: self._has_read_receipts(ends), within=SETTLED_WITHIN)
        for name in sorted(self.workers, key=lambda worker: worker != "link"):
            await eventually(lambda worker=name: self._has_reported_all(worker), within=SETTLED_WITHIN)

    async def _has_read_receipts(self, ends: Ends) -> bool:
        return await self._log_ends.left(load_worker("link").listener_group(self.settings), ends) == 0

    async def outcomes(self, name: str) -> Counter[str]:
        """Returns how many records of each outcome a worker has reported. A redelivery counts once."""
        return Counter(receipt.outcome for receipt in (await self._receipts.of(name)).values())

    async def dead_letters(self) -> list[Any]:
        """Returns the dead letters of all workers."""
        topics = [self.settings.topics.dead(name) for name in rejecting_names()]
        return [letter for topic in topics for letter in await read_all(self.settings, topic)]

    async def differences(self, events: Sequence[Event]) -> list[str]:
        """Describes where a store differs from the newest change of each entity; empty if every store is right."""
        expected = expected_entities(events)
        found = []
        for name in self.workers:
            async with self.store(name) as store:
                if store is not None:
                    found += await self._compare(name, store, expected)
        return found + await self._wrong_links()

    async def _compare(self, name: str, store: Any, expected: Mapping[Entity, Expected]) -> list[str]:
        """Describes where a store's entities of these ids, and its digests of them, differ."""
        takes_vectors = any("embedding" in record.model_fields for record in load_worker_inputs(name))
        rules = Comparison({}, self.settings.model if takes_vectors else None)
        found = []
        for kind in CHANGES:
            stored: dict[str, Stored] = await store.get(kind, [id for of_kind, id in expected if of_kind == kind])
            entities = [stored_entity(kind, one) for one in stored.values()]
            noted = [
                replace(entity, digest=stored[entity.id].digest or f"{FORM}:{entity.version}:none")
                for entity in entities
            ]
            for held in (entities, noted):
                found += [f"{name}: {kind} {one.id} {one.detail}" for one in rules.differences(kind, expected, held)]
        return found

    async def _wrong_links(self) -> list[str]:
        """Describes where a store's links differ from the exact nearest keywords of everything published here."""
        products, keywords = [await read_embeddings(self.settings, kind) for kind in ID_FIELDS]
        options = self.settings_of("link").link
        found = []
        for name in self.workers:
            async with self.links(name) as store:
                if store is not None:
                    await store.refresh()
                    stored = store.scan_links()
                    wrong = await compare_links(stored, products, keywords, k=options.k, min_score=options.min_score)
                    found += [f"{name}: links of {id}: {what}" for id, what in wrong.differences]
        return found

    async def _has_reported_all(self, name: str) -> bool:
        reported = len(await self._receipts.of(name))
        return reported == await self._receipts.published(self._inputs(name))

    def _inputs(self, name: str) -> Mapping[str, Any]:
        worker = load_worker(name)
        return worker.inputs(self._servers.settings(worker.settings, **self.variables))


_numbers = itertools.count(1)


def catalogue_events(products: int, keywords: int, count: int) -> list[Event]:
    """Makes a catalogue and changes of it. No other call makes the same ids."""
    seed = next(_numbers)
    run = uuid.uuid4().hex[:8]

    def now() -> datetime:
        return datetime.now(UTC)

    made: Iterator[Event] = itertools.chain(
        creations(seed, products=products, keywords=keywords, clock=now),
        changes(seed, products=products, keywords=keywords, count=count, clock=now),
    )
    return [_renamed(event, run) for event in made]


def _renamed(event: Event, run: str) -> Event:
    assert isinstance(event, Change)
    return replace(event, record=event.record | {ID_FIELDS[event.kind]: f"{run}-{event.id}"})


def load_worker_inputs(name: str) -> list[Any]:
    """Returns the models of the records that a worker reads."""
    worker = load_worker(name)
    return list(worker.inputs(worker.settings.model_construct()).values())
