"""Runs many histories at once, each with its own entities: a batch of a worker has records of all of them."""

import asyncio
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any, Protocol

from headrace_letters.edit_version import edit_version
from headrace_letters.letter import read_letter
from headrace_letters.replay_record import outgoing
from headrace_schemas.changes import ID_FIELDS
from headrace_schemas.fields import Kind
from headrace_worker.store import Stored
from histories.generator import WORKERS
from histories.records import edited, kind_of, sent
from histories.steps import Edit, History, Lost, Malformed, Mend, Publish, Read, Refuse, Replay, Rewind, Step
from histories.topics import BatchPublisher, HistoryLog, MemoryTopics
from histories.workers import GIVE_BACK_AFTER, HistoryWorker, Refused, memory_topics

ALL = 10_000
"""More records than a history has."""
OUTAGE_RETRIES = 1.0
"""Seconds after which a batch goes back to Kafka while a store or Kafka is down."""
LAST_PASSES = 8
"""Replays and edits are settled in three. What is not settled then has no receipt, which is a violation."""
KAFKA_FAILS = 0.03
RESTARTS = 0.1
SERVER_OF = {"elasticsearch": "elasticsearch", "qdrant": "qdrant", "pgvector": "postgres"}


class Control(Protocol):
    """Kills and starts the servers of the stores."""

    def kill(self, name: str) -> None: ...
    def start(self, name: str) -> None: ...


@dataclass(slots=True)
class Running:
    """A history that runs. `seen`: by worker, the version and the digest of each entity when its store
    was last read. `refused`: what its stores have ever refused. `violations`: what was wrong on the way.
    """

    history: History
    log: HistoryLog
    next: int = 0
    seen: dict[tuple[str, Kind, str], tuple[int, str | None]] = field(default_factory=dict)
    refused: Refused = field(default_factory=set)
    violations: list[str] = field(default_factory=list)

    @property
    def ids(self) -> Mapping[Kind, list[str]]:
        """Its entities by kind."""
        found: dict[Kind, list[str]] = {kind: [] for kind in ID_FIELDS}
        entities = {step.entity for step in self.history.steps if isinstance(step, Publish | Malformed)}
        for entity in sorted(entities):
            found[kind_of(entity)].append(self.history.id(entity))
        return found


class Execution:
    """One run of some histories. `outages`: the rounds in which the store of a worker is killed during its batch."""

    def __init__(
        self,
        workers: Mapping[str, HistoryWorker],
        refused: Refused,
        histories: Sequence[History],
        random: Random,
        control: Control | None = None,
        outages: Mapping[int, str] | None = None,
    ) -> None:
        self.topics: MemoryTopics = memory_topics(workers)
        self.running = [Running(history, self.topics.logs[history.name]) for history in histories]
        self._workers = workers
        self._refused = refused
        self._random = random
        self._control = control
        self._outages = dict(outages or {})

    async def run(self) -> None:
        """Runs every history to its end, and then lets every worker read everything without a further fault."""
        number = 0
        while waiting := await self._until_next_read():
            await asyncio.gather(
                *(self._read_batch(self._workers[name], of_worker, number) for name, of_worker in waiting.items())
            )
            if self._random.random() < RESTARTS:
                await self._restart(self._workers[self._random.choice(WORKERS[1:])])
            number += 1
        for _ in range(LAST_PASSES):
            if not any([await self._finish(names) for names in (WORKERS[:1], WORKERS[1:])]):
                return

    async def _until_next_read(self) -> dict[str, list[Running]]:
        """Does the steps of every history up to its next read, and groups the histories by the worker that reads."""
        waiting: dict[str, list[Running]] = defaultdict(list)
        for one in self.running:
            steps = one.history.steps
            while one.next < len(steps):
                step = steps[one.next]
                if isinstance(step, Read):
                    waiting[step.worker].append(one)
                    break
                await self._do(one, step)
                one.next += 1
        return waiting

    async def _do(self, one: Running, step: Step) -> None:
        if isinstance(step, Publish | Malformed):
            self.topics.publish(sent(one.history, step))
        elif isinstance(step, Rewind):
            one.log.rewind(step.worker, self._workers[step.worker].topics, step.count)
        elif isinstance(step, Refuse):
            change = (step.worker, one.history.id(step.entity), step.version)
            self._refused.add(change)
            one.refused.add(change)
        elif isinstance(step, Mend):
            self._refused -= one.refused
        elif isinstance(step, Replay | Edit):
            await self._answer(one, step)

    async def _answer(self, one: Running, step: Replay | Edit) -> None:
        """Replays or edits each letter of the worker once."""
        worker = self._workers[step.worker]
        for record in list(one.log.letters[step.worker]):
            if (mark := (step.worker, record.offset)) in one.log.replayed:
                continue
            letter = read_letter(record, worker.settings.topics)
            if isinstance(step, Replay):
                again = outgoing(letter, record, worker.target)
                headers = [(str(name), value) for name, value in again.headers]
                self.topics.append(again.topic, again.key or b"", again.value, headers)
            elif letter.kind not in ID_FIELDS or letter.entity_id not in one.ids[letter.kind]:
                continue
            else:
                await self._edit(letter.kind, letter.entity_id, letter.version)
            one.log.replayed.add(mark)

    async def _edit(self, kind: Any, id: str, own: int | None) -> None:
        found = {name: await worker.stored(kind, [id]) for name, worker in self._workers.items() if worker.has_store}
        stored = {name: of_store[id] for name, of_store in found.items() if id in of_store}
        decided = edit_version(own, stored)
        above = max((one.version for one in stored.values()), default=0) + 1
        version = decided.version if decided.outcome == "takes" else above
        if decided.outcome != "refused" and version is not None:
            self.topics.publish(edited(kind, id, version))

    async def _read_batch(self, worker: HistoryWorker, waiting: Sequence[Running], number: int) -> None:
        records, stale, lost = [], [], dict[str, Lost]()
        for one in waiting:
            step = one.history.steps[one.next]
            assert isinstance(step, Read)
            records.append(one.log.waiting(worker.name, worker.topics, step.count))
            stale.append(one.log.before(worker.name, worker.topics, step.stale) if step.stale else [])
            lost[one.history.name] = step.lost
            one.next += 1
        if self._outages.get(number) == worker.name and self._control is not None:
            await self._outage(worker, waiting, [record for of_history in records for record in of_history])
        fails = self._random.randrange(3) if self._random.random() < KAFKA_FAILS else None
        committed = await worker.handle(
            [record for of_history in records for record in of_history],
            BatchPublisher(worker.name, self.topics, lost, fails),
            stale=[record for of_history in stale for record in of_history],
            stale_publisher=BatchPublisher(worker.name, self.topics, {}),
            give_back_after=OUTAGE_RETRIES if fails is not None else GIVE_BACK_AFTER,
        )
        for one, of_history in zip(waiting, records, strict=True):
            if committed and not lost[one.history.name]:
                one.log.commit(worker.name, of_history)
        await self._check_versions(worker, waiting)

    async def _outage(self, worker: HistoryWorker, waiting: Sequence[Running], records: Sequence[Any]) -> None:
        """Kills the store, perhaps in the middle of the batch. Nothing may be committed or put aside then."""
        assert self._control is not None
        server = SERVER_OF[worker.name]
        before = BatchPublisher(worker.name, self.topics, {})
        during = asyncio.create_task(worker.handle(records, before, give_back_after=OUTAGE_RETRIES))
        await asyncio.sleep(self._random.random() * 0.05)
        await asyncio.to_thread(self._control.kill, server)
        await during
        down = BatchPublisher(worker.name, self.topics, {})
        committed = await worker.handle(records, down, give_back_after=OUTAGE_RETRIES)
        # A record that does not decode is known to be wrong without the store; everything else must wait for it.
        if records and (committed or down.receipts or down.letters):
            for one in waiting:
                one.violations.append(f"{worker.name} settled records while its store was down")
        await asyncio.to_thread(self._control.start, server)

    async def _restart(self, worker: HistoryWorker) -> None:
        await worker.close()
        await worker.open()

    async def _finish(self, names: Sequence[str]) -> bool:
        """These workers read everything. Whether there was anything to read."""
        return any(await asyncio.gather(*(self._read_all(self._workers[name]) for name in names)))

    async def _read_all(self, worker: HistoryWorker) -> bool:
        found = [one.log.waiting(worker.name, worker.topics, ALL) for one in self.running]
        records = [record for of_history in found for record in of_history]
        if records and await worker.handle(records, BatchPublisher(worker.name, self.topics, {})):
            for one, of_history in zip(self.running, found, strict=True):
                one.log.commit(worker.name, of_history)
        await self._check_versions(
            worker, [one for one, of_history in zip(self.running, found, strict=True) if of_history]
        )
        return bool(records)

    async def _check_versions(self, worker: HistoryWorker, histories: Sequence[Running]) -> None:
        """The version of an entity in a store never decreases, and the content of a version never changes."""
        if not worker.has_store:
            return
        stored = await stored_entities(worker, histories)
        for one in histories:
            for kind, id in ((kind, id) for kind, ids in one.ids.items() for id in ids):
                now = stored.get((kind, id))
                version, digest = (now.version, now.digest) if now else (0, None)
                known, content = one.seen.get((worker.name, kind, id), (0, None))
                if version < known:
                    one.violations.append(f"{worker.name}: {kind} {id} went back from version {known} to {version}")
                elif version == known and digest != content:
                    one.violations.append(
                        f"{worker.name}: {kind} {id} has other content under version {known} than before"
                    )
                one.seen[worker.name, kind, id] = version, digest


async def stored_entities(worker: HistoryWorker, histories: Sequence[Running]) -> dict[tuple[Kind, str], Stored]:
    """What a store has of the entities of these histories."""
    found: dict[tuple[Kind, str], Stored] = {}
    for kind in ID_FIELDS:
        stored = await worker.stored(kind, [id for one in histories for id in one.ids[kind]])
        found |= {(kind, id): entity for id, entity in stored.items()}
    return found
