"""What the topics say at the end: changes, letters and receipts."""

from collections import Counter
from collections.abc import Iterable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Any, Protocol

from harness.source_records import change_of, said_version
from headrace_clients.topic_reader import open_topics
from headrace_expected.entities import Letter, Position, Rejected, rejected_by
from headrace_schemas.changes import Change
from headrace_schemas.embedded import EMBEDDED
from headrace_schemas.fields import Kind
from headrace_schemas.headers import CONNECT_OFFSET, CONNECT_PARTITION, CONNECT_TOPIC, DEAD_ID, REPLAY_OF
from headrace_schemas.receipts import Receipts
from headrace_schemas.topics import SOURCE_NAMES
from headrace_worker.settings import CommonSettings, WorkerSettings
from headrace_worker.worker import load_worker, rejecting_names, worker_names

STORED = ("applied", "superseded", "conflict")
Place = tuple[str, int, int]
"""Topic, partition and offset."""


@dataclass(slots=True)
class Account:
    """`changes`: in the order of each partition. `wrong`: places of source records that no worker may apply. `places`:
    by worker, of the records that it has to settle. `outcomes`: by worker and place, the last one. `stored`: by worker,
    the versions that it has reported as stored. `letters`: by worker, the place of the original and the letter.
    `replays`: of each replay, the id of its letter.
    """

    changes: list[tuple[Change, Position]] = field(default_factory=list)
    wrong: set[Place] = field(default_factory=set)
    places: dict[str, set[Place]] = field(default_factory=dict)
    outcomes: dict[str, dict[Place, str]] = field(default_factory=dict)
    stored: dict[str, set[tuple[str, str, int]]] = field(default_factory=dict)
    letters: dict[str, list[tuple[Place, Any]]] = field(default_factory=dict)
    replays: dict[Place, bytes] = field(default_factory=dict)

    def counts(self, worker: str) -> Counter[str]:
        """How many records of each outcome a worker has reported, and how many none."""
        outcomes = self.outcomes.get(worker, {})
        return Counter(outcomes.get(place, "unaccounted") for place in self.places.get(worker, ()))

    def without_letter(self, worker: str) -> set[Place]:
        """The records that a worker has reported as dead and not put aside. A failed replay makes its letter again."""
        letters = self.letters.get(worker, ())
        originals = {place for place, _ in letters}
        failures = Counter(dict(record.headers).get(DEAD_ID) for _, record in letters)
        dead = {place for place, outcome in self.outcomes.get(worker, {}).items() if outcome == "dead"}
        return {
            place
            for place in dead & self.places.get(worker, set())
            if (failures[self.replays[place]] < 2 if place in self.replays else place not in originals)
        }

    def rejected(self, workers: Iterable[str]) -> Rejected:
        """The versions that the letters of these workers excuse, without those that it has stored since."""
        chosen = list(workers)
        letters = []
        for worker in chosen:
            for place, record in self.letters.get(worker, ()):
                kind: Kind = "product" if "product" in place[0] else "keyword"
                version, id = said_version(record), (record.key or b"").decode(errors="replace")
                if version is not None and (kind, id, version) not in self.stored.get(worker, set()):
                    letters.append(Letter(worker, kind, id, version))
        return rejected_by(letters, chosen)


class Installed(Protocol):
    """An installation whose workers and stores a test reads."""

    settings: WorkerSettings

    def settings_of(self, name: str) -> Any: ...
    def store(self, name: str) -> AbstractAsyncContextManager[Any]: ...
    def links(self, name: str) -> AbstractAsyncContextManager[Any]: ...


async def read_account(installed: Installed, largest: int | None = None) -> Account:
    """Reads every topic from its first record to its end. `largest`: bytes; a larger source record may be a letter."""
    account, settings = Account(), installed.settings
    topics = settings.topics
    sources = {topics.source(kind): kind for kind in SOURCE_NAMES}
    read_by: dict[str, list[str]] = {}
    for name in worker_names():
        worker = load_worker(name)
        if worker.raw is None:
            for topic in (*worker.inputs(installed.settings_of(name)), topics.replay(name)):
                read_by.setdefault(topic, []).append(name)
    async with open_topics(settings.kafka, read_by) as reader:
        async for record in reader.until_now():
            place = (record.topic, record.partition, record.offset)
            for name in read_by[record.topic]:
                account.places.setdefault(name, set()).add(place)
            if (letter := dict(record.headers).get(REPLAY_OF)) is not None:
                account.replays[place] = letter
            if (kind := sources.get(record.topic)) is not None:
                change = change_of(kind, record)
                if change is None or (largest is not None and len(record.value or b"") > largest):
                    account.wrong.add(place)
                if change is not None:
                    account.changes.append((change, Position(record.partition, record.offset)))
    await _read_letters(settings, account)
    await _read_receipts(settings, account)
    return account


async def read_vectors(settings: CommonSettings) -> dict[str, bytes]:
    """The vector of each text, by its content hash, from what is on the topics of `embed` now."""
    found: dict[str, bytes] = {}
    kinds = {settings.topics.embedded(kind, settings.model): kind for kind in SOURCE_NAMES}
    async with open_topics(settings.kafka, kinds) as reader:
        async for record in reader.until_now():
            change = EMBEDDED[kinds[record.topic]].model_validate_json(record.value)
            if change.embedding is not None:
                found[change.embedding.content_hash] = change.embedding.vector
    return found


async def _read_letters(settings: CommonSettings, account: Account) -> None:
    workers = {settings.topics.dead(name): name for name in rejecting_names()}
    async with open_topics(settings.kafka, workers) as reader:
        async for record in reader.until_now():
            headers = dict(record.headers)
            place = (
                headers[CONNECT_TOPIC].decode(), int(headers[CONNECT_PARTITION]), int(headers[CONNECT_OFFSET])
            )  # fmt: skip
            account.letters.setdefault(workers[record.topic], []).append((place, record))


async def _read_receipts(settings: CommonSettings, account: Account) -> None:
    async with open_topics(settings.kafka, [settings.topics.receipts]) as reader:
        async for record in reader.until_now():
            batch = Receipts.model_validate_json(record.value)
            outcomes = account.outcomes.setdefault(batch.worker, {})
            stored = account.stored.setdefault(batch.worker, set())
            for receipt in batch.receipts:
                outcomes[receipt.topic, receipt.partition, receipt.offset] = receipt.outcome
                if receipt.outcome in STORED and receipt.kind and receipt.id and receipt.version:
                    stored.add((receipt.kind, receipt.id, receipt.version))
