"""The invariants at the end, computed from the topics and the stores by `headrace_expected`."""

import hashlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from harness.account import Account, Installed
from headrace_expected.differences import Comparison, Difference, Finding, StoredEntity, digest_of_fields
from headrace_expected.entities import Entity, Expected, fold
from headrace_expected.links import Embeddings, broken_links
from headrace_schemas.changes import Change, KeywordChange
from headrace_schemas.fields import Kind
from headrace_schemas.links import ProductLinks
from headrace_schemas.topics import SOURCE_NAMES
from headrace_worker.store import Stored
from headrace_worker.worker import load_worker, worker_names

KEPT = 20
"""Differences of each store that the report contains."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """`stores`: by store, how many differences of each kind. `said`: the first of them. `workers`: by worker, how many
    records of each outcome. `entities`: how many the topics have. `stored`: by store, how many entities and link sets.
    """

    entities: int
    changes: int
    stores: Mapping[str, Mapping[str, int]]
    stored: Mapping[str, Mapping[str, int]]
    workers: Mapping[str, Mapping[str, int]]
    said: list[str]

    @property
    def right(self) -> bool:
        return not self.said


async def judge(installed: Installed, account: Account, vectors: Mapping[str, bytes]) -> Verdict:
    """Compares every store with what it must hold. `vectors`: of each text, by its content hash."""
    said: list[str] = []
    stores: dict[str, dict[str, int]] = {}
    stored: dict[str, dict[str, int]] = {}
    texts = {(change.kind, position): _text(change) for change, position in account.changes}
    for name in worker_names():
        counts, held = Counter[str](), Counter[str]()
        findings = [
            *await _entities(installed, account, texts, name, held),
            *await _links(installed, account, vectors, name, held),
        ]
        for finding in findings:
            counts[finding.difference] += 1
            if counts[finding.difference] <= KEPT:
                said.append(f"{name}: {finding.kind} {finding.id}: {finding.difference}: {finding.detail}")
        if held:
            stores[name], stored[name] = dict(counts), dict(held)
    said += _of_records(account)
    entities = len(fold(account.changes, {}))
    workers = {name: dict(account.counts(name)) for name in sorted(account.places)}
    return Verdict(entities, len(account.changes), stores, stored, workers, said)


def _of_records(account: Account) -> list[str]:
    """Records without an outcome, and letters without a reason."""
    said = []
    for name in sorted(account.places):
        if missing := account.counts(name)["unaccounted"]:
            said.append(f"{name}: {missing} records have no outcome")
        if lost := account.without_letter(name):
            said.append(f"{name}: {len(lost)} records are reported as dead and have no letter")
        if needless := {place for place, _ in account.letters.get(name, ())} - account.wrong:
            said.append(f"{name}: {len(needless)} letters of records that can be applied, such as {min(needless)}")
    return said


async def _entities(
    installed: Installed, account: Account, texts: Mapping[Any, str | None], name: str, held: Counter[str]
) -> list[Finding]:
    async with installed.store(name) as store:
        if store is None:
            return []
        await store.refresh()
        inputs = _topics_of(installed, name)
        model = installed.settings.model
        vectors = installed.settings.topics.embedded("product", model) in inputs
        rejected = account.rejected(["embed", name] if vectors else [name])
        expected = _with_hashes(fold(account.changes, rejected), texts)
        rules = Comparison(rejected, model if vectors else None, every_version=not vectors)
        findings: list[Finding] = []
        for kind in SOURCE_NAMES:
            entities = [_entity(kind, one) async for one in store.scan(kind)]
            held["entities"] += len(entities)
            held["tombstones"] += sum(one.deleted for one in entities)
            findings += [
                one for one in rules.differences(kind, expected, entities) if one.difference != Difference.CONFLICT
            ]
        return findings


async def _links(
    installed: Installed, account: Account, vectors: Mapping[str, bytes], name: str, held: Counter[str]
) -> list[Finding]:
    async with installed.links(name) as store:
        if store is None:
            return []
        await store.refresh()
        expected = fold(account.changes, account.rejected(["embed"]))
        newest = {(change.kind, position): change for change, position in account.changes}
        products, keywords = (_embeddings(expected, newest, vectors, kind) for kind in ("product", "keyword"))
        sets: list[ProductLinks] = [one async for one in store.scan_links()]
        held["link sets"] += len(sets)
        held["links"] += sum(len(one.links) for one in sets)
        options = installed.settings_of("link").link
        return list(broken_links(sets, products, keywords, k=options.k, min_score=options.min_score))


def _topics_of(installed: Installed, name: str) -> list[str]:
    return list(load_worker(name).inputs(installed.settings_of(name)))


def _entity(kind: Kind, stored: Stored) -> StoredEntity:
    digest = digest_of_fields(kind, stored.version, stored.fields) if stored.fields else stored.digest
    return StoredEntity(stored.id, stored.version, stored.deleted, digest, stored.model, stored.content_hash)


def _with_hashes(expected: dict[Entity, Expected], texts: Mapping[Any, str | None]) -> dict[Entity, Expected]:
    return {
        entity: replace(
            one,
            contents=tuple(
                replace(content, content_hash=_hash(texts[entity[0], content.position])) for content in one.contents
            ),
        )
        for entity, one in expected.items()
    }


def _embeddings(
    expected: Mapping[Entity, Expected], changes: Mapping[Any, Change], vectors: Mapping[str, bytes], kind: Kind
) -> Embeddings:
    """The live entities of a kind with the vectors of their texts."""
    ids, titles, rows, deleted = [], [], [], set()
    for (of_kind, id), one in expected.items():
        if of_kind != kind:
            continue
        if one.newest.deleted:
            deleted.add(id)
            continue
        change = changes[kind, one.newest.position]
        ids.append(id)
        titles.append((change.text if isinstance(change, KeywordChange) else getattr(change, "title", "")) or "")
        rows.append(np.frombuffer(vectors[_hash(_text(change)) or ""], "<f4"))
    return Embeddings(ids, titles, np.stack(rows) if rows else np.zeros((0, 0), np.float32), frozenset(deleted))


def _text(change: Change) -> str | None:
    """The text that stands for an entity: see docs/architecture.md."""
    if change.deleted:
        return None
    if isinstance(change, KeywordChange):
        parts: list[str | None] = [change.text]
    else:
        parts = [getattr(change, name) for name in ("title", "brand", "category", "description")]
    return ". ".join(text for part in parts if part and (text := " ".join(part.split())))


def _hash(text: str | None) -> str | None:
    return None if text is None else hashlib.sha256(text.encode()).hexdigest()
