"""What every history must end with. The rules come from `headrace_expected`, and no product code decides here."""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from harness.source_records import change_of, changes_of, said_version

from headrace_expected.differences import Comparison, Difference, StoredEntity, digest_of_fields
from headrace_expected.entities import Entity, Expected, Letter, Rejected, fold, rejected_by
from headrace_schemas.changes import ID_FIELDS, Change, KeywordChange
from headrace_schemas.fields import Kind
from headrace_schemas.headers import DEAD_ID, REPLAY_OF
from headrace_schemas.receipts import Receipt
from headrace_schemas.topics import Topics
from headrace_worker.store import Stored
from histories.execution import Execution, Running, stored_entities
from histories.records import LARGEST
from histories.topics import is_replay, origin_of
from histories.workers import HistoryWorker

STORED = ("applied", "superseded", "conflict")


async def violations(execution: Execution, workers: Mapping[str, HistoryWorker]) -> dict[str, list[str]]:
    """What is wrong with each history, by its name; histories that are right are left out."""
    stores = {
        name: await stored_entities(worker, execution.running) for name, worker in workers.items() if worker.has_store
    }
    found: dict[str, list[str]] = {}
    for one in execution.running:
        ends = _End(one, execution.topics.names, workers)
        wrong = [*one.violations, *ends.unaccounted(), *ends.needless_letters()]
        for name, stored in stores.items():
            wrong += [*ends.differences(workers[name], stored), *ends.false_claims(name, stored)]
        if wrong:
            found[one.history.name] = wrong
    return found


class _End:
    """The end of one history."""

    def __init__(self, one: Running, topics: Topics, workers: Mapping[str, HistoryWorker]) -> None:
        self._one = one
        self._topics = topics
        self._workers = workers
        self._kind_of: dict[str, Kind] = {topics.source(kind): kind for kind in ID_FIELDS}
        self._records = {
            (topic, record.offset): record for topic, records in one.log.topics.items() for record in records
        }

    def unaccounted(self) -> Iterator[str]:
        """Every record has an outcome at every worker that reads it, and a dead one has its letter."""
        for name, worker in self._workers.items():
            put_aside = {origin_of(letter) for letter in self._one.log.letters[name]}
            named = [dict(letter.headers).get(DEAD_ID) for letter in self._one.log.letters[name]]
            for topic in worker.topics:
                for record in self._one.log.topics.get(topic, ()):
                    receipts = self._one.log.receipts.get((name, topic, record.offset), [])
                    if not receipts:
                        yield f"{name}: no receipt of {topic} {record.offset}"
                    elif receipts[-1].outcome == "dead":
                        again = named.count(dict(record.headers).get(REPLAY_OF)) > 1 if is_replay(record) else False
                        if not again and (topic, record.offset) not in put_aside:
                            yield f"{name}: no letter of {topic} {record.offset}, which is dead"

    def needless_letters(self) -> Iterator[str]:
        """Only what can never succeed becomes a letter."""
        for name in self._workers:
            for letter in self._one.log.letters[name]:
                topic, offset = origin_of(letter)
                record = self._records[topic, offset]
                if not (self._is_wrong(topic, record) or self._is_refused(name, record)):
                    yield f"{name}: a letter of {topic} {offset}, which no store refuses"

    def differences(self, worker: HistoryWorker, stored: Mapping[Entity, Stored]) -> Iterator[str]:
        """The store holds the newest version of each entity, or one that letters excuse, with its content."""
        feeding = ("embed", worker.name) if worker.model else (worker.name,)
        rejected = self._rejected(feeding)
        expected = self._expected(rejected)
        rules = Comparison(rejected, worker.model, every_version=not worker.model)
        for kind, ids in self._one.ids.items():
            held = [_entity(kind, stored[kind, id]) for id in ids if (kind, id) in stored]
            for one in rules.differences(kind, expected, held):
                if one.difference != Difference.CONFLICT:
                    yield f"{worker.name}: {kind} {one.id}: {one.difference}: {one.detail}"
            for id in ids:
                digest = stored[kind, id].digest if (kind, id) in stored else "not stored"
                if digest is None:
                    yield f"{worker.name}: {kind} {id} has no digest"

    def false_claims(self, name: str, stored: Mapping[Entity, Stored]) -> Iterator[str]:
        """What a worker has reported as applied is in its store, or something newer is."""
        for receipt in self._receipts(name):
            if receipt.outcome in STORED and receipt.kind in ID_FIELDS:
                now = stored.get((receipt.kind, receipt.id or ""))
                if now is None or now.version < (receipt.version or 0):
                    yield f"{name}: reported version {receipt.version} of {receipt.id} as {receipt.outcome}, has {now}"

    def _expected(self, rejected: Rejected) -> dict[Entity, Expected]:
        """By the model; with the hash of each text, which the stores with vectors have."""
        changes = [
            (change, position)
            for topic, kind in self._kind_of.items()
            for change, position in changes_of(kind, self._one.log.topics.get(topic, ()))
        ]
        hashes = {(change.kind, position): _content_hash(change) for change, position in changes}
        expected = fold(changes, rejected)
        return {
            entity: replace(
                one,
                contents=tuple(
                    replace(content, content_hash=hashes[entity[0], content.position]) for content in one.contents
                ),
            )
            for entity, one in expected.items()
        }

    def _rejected(self, workers: tuple[str, ...]) -> Rejected:
        """The versions that letters excuse: a letter whose version the worker has stored since then excuses nothing."""
        letters = []
        for name in workers:
            stored = {
                (receipt.kind, receipt.id, receipt.version)
                for receipt in self._receipts(name)
                if receipt.outcome in STORED
            }
            for letter in self._one.log.letters[name]:
                record = self._records[origin_of(letter)]
                kind, version = self._kind(record), said_version(record)
                id = (record.key or b"").decode()
                if version is not None and (kind, id, version) not in stored:
                    letters.append(Letter(name, kind, id, version))
        return rejected_by(letters, workers)

    def _receipts(self, name: str) -> Iterator[Receipt]:
        for (worker, _, _), receipts in self._one.log.receipts.items():
            if worker == name:
                yield from receipts

    def _kind(self, record: Any) -> Kind:
        products = {self._topics.source("product"), self._topics.embedded("product", "")}
        return "product" if record.topic.startswith(tuple(products)) else "keyword"

    def _is_wrong(self, topic: str, record: Any) -> bool:
        kind = self._kind_of.get(topic)
        return kind is not None and (change_of(kind, record) is None or len(record.value or b"") > LARGEST)

    def _is_refused(self, name: str, record: Any) -> bool:
        return (name, (record.key or b"").decode(), said_version(record)) in self._one.refused


def _entity(kind: Kind, stored: Stored) -> StoredEntity:
    """With the digest of the fields that the store has, which is the stronger check."""
    digest = digest_of_fields(kind, stored.version, stored.fields) if stored.fields else stored.digest
    return StoredEntity(stored.id, stored.version, stored.deleted, digest, stored.model, stored.content_hash)


def _content_hash(change: Change) -> str | None:
    text = change.text if isinstance(change, KeywordChange) else getattr(change, "title", None)
    return None if change.deleted or text is None else hashlib.sha256(text.encode()).hexdigest()
