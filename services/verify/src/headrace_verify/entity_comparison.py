"""The first look at a store: its entities and those of the topics, side by side in the order of the store's keys."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import numpy as np

from headrace_expected.differences import (
    SAME_VECTOR,
    Comparison,
    Difference,
    Finding,
    StoredEntity,
    digest_of_fields,
)
from headrace_expected.entities import Expected
from headrace_schemas.fields import Kind
from headrace_schemas.topics import DAY_MS
from headrace_verify.compared_store import ComparedStore
from headrace_verify.fold import Fold
from headrace_verify.fold_file import Row
from headrace_worker.scan import Page, Scanned

TOMBSTONE_DAYS = 14
"""A tombstone that is older may have been purged: the dead letters are gone by then (docs/verify.md)."""


@dataclass(slots=True)
class Look:
    """`suspects`: the keys that differ, with the id that the topics have under that key, or that the store has.

    `forgotten`: the number of tombstones of entities that the topics do not have.
    """

    compared: int = 0
    forgotten: int = 0
    suspects: dict[bytes, str] = field(default_factory=dict)


async def look(
    fold: Fold,
    store: ComparedStore,
    kind: Kind,
    after: bytes = b"",
    upto: bytes | None = None,
    on_page: Callable[[int], None] = lambda rows: None,
) -> Look:
    """Compares a range of keys. The file of the fold must be sorted by the keys of this store. Raises Unavailable."""
    found, rules, last = Look(), store.rules(fold.letters), after
    async for page in store.scan.pages(kind, after, upto):
        end = upto if page.upto is None else page.upto
        _compare(fold, store, rules, kind, fold.file.between(kind, last, end), page, found)
        on_page(len(page.rows))
        last = last if page.upto is None else page.upto
    return found


def _compare(
    fold: Fold,
    store: ComparedStore,
    rules: Comparison,
    kind: Kind,
    expected: Sequence[tuple[bytes, Row]],
    page: Page,
    found: Look,
) -> None:
    found.compared += len(expected)
    if alike(kind, expected, page.rows, store.model):
        return
    stored = {one.key: one for one in page.rows}
    for key, row in expected:
        one = stored.pop(key, None)
        if finding(rules, kind, row.expected.id, fold.with_history(row), one):
            found.suspects[key] = row.expected.id
    for key, one in stored.items():
        wrong = finding(rules, kind, one.stored.id, None, one)
        if wrong is not None and is_forgotten(wrong):
            found.forgotten += 1
        elif wrong is not None:
            found.suspects[key] = one.stored.id


def alike(kind: Kind, expected: Sequence[tuple[bytes, Row]], stored: Sequence[Scanned], model: str | None) -> bool:
    """Whether a page equals what is expected in every value: then no rule has to be asked about its entities. `model`:
    of the store's vectors.
    """
    if [_summary(key, row.expected) for key, row in expected] != [_stored_summary(kind, one) for one in stored]:
        return False
    if any(row.expected.conflict for _, row in expected):
        return False
    if model is None:
        return True
    pairs = zip(expected, stored, strict=True)
    live = [(row.expected.newest, one) for (_, row), one in pairs if not one.stored.deleted]
    if any(s.stored.model != model or s.vector is None for _, s in live):
        return False
    both = [(n, s) for n, s in live if n.vector is not None]
    if any(n.content_hash != s.stored.content_hash or len(n.vector or b"") != len(s.vector or b"") for n, s in both):
        return False
    one, other = (
        np.frombuffer(b"".join(v or b"" for v in side), "<f4")
        for side in ([n.vector for n, _ in both], [s.vector for _, s in both])
    )
    return bool(np.all(np.abs(one - other) <= SAME_VECTOR))


def finding(rules: Comparison, kind: Kind, id: str, row: Row | None, found: Scanned | None) -> Finding | None:
    """How an entity differs by the rules of the model, from its fields and from the digest that is stored of them."""
    expected = row.expected if row else None
    if found is None:
        wrong = rules.difference(kind, id, expected, None)
        return None if row and is_purged(row) else wrong
    if expected is not None and found.stored.id != id:
        versions = (expected.newest.version, found.stored.version)
        return Finding(kind, id, Difference.WRONG_CONTENT, "has another id", *versions)
    for entity in stored_entities(kind, found):
        if wrong := rules.difference(kind, id, expected, entity):
            return wrong
    if found.fence != found.stored.version:
        detail = f"has version {found.stored.version}, and refuses all up to {found.fence}"
        ahead = found.fence > found.stored.version
        return Finding(
            kind, id, Difference.AHEAD if ahead else Difference.WRONG_CONTENT, detail,
            expected.newest.version if expected else None, found.stored.version,
        )  # fmt: skip
    return None


def stored_entities(kind: Kind, found: Scanned) -> Iterable[StoredEntity]:
    """The entity with the digest of its fields, and with the digest that is stored, if that is another one."""
    stored = found.stored
    has_vector = found.vector is not None
    whole = stored.fields or not stored.deleted
    digest = digest_of_fields(kind, stored.version, stored.fields) if whole else stored.digest
    entity = StoredEntity(
        stored.id, stored.version, stored.deleted, digest, stored.model if has_vector else None,
        stored.content_hash, found.vector,
    )  # fmt: skip
    yield entity
    if stored.digest is not None and stored.digest != digest:
        yield replace(entity, digest=stored.digest)


def is_forgotten(found: Finding) -> bool:
    """Whether it is a tombstone that the topic does not have any more, as compaction removes it after 30 days."""
    return found.difference is Difference.AHEAD and found.expected is None


def is_purged(row: Row) -> bool:
    """Whether a missing entity is a delete so old that its tombstone may have been removed."""
    age = datetime.now(UTC).timestamp() * 1000 - row.at
    return row.expected.newest.deleted and age > timedelta(days=TOMBSTONE_DAYS).days * DAY_MS


def _summary(key: bytes, expected: Expected) -> tuple[object, ...]:
    newest = expected.newest
    return key, expected.id, newest.version, newest.deleted, newest.digest


def _stored_summary(kind: Kind, found: Scanned) -> tuple[object, ...]:
    """As `_summary`; equal to none unless the id, the fields, the digest and the fence belong together."""
    stored = found.stored
    if found.fence != stored.version or (stored.deleted and (stored.fields or found.vector is not None)):
        return ()
    digest = stored.digest if stored.deleted else digest_of_fields(kind, stored.version, stored.fields)
    whole = (found.key, stored.id, stored.version, stored.deleted, digest)
    return whole if stored.digest in (None, digest) else ()
