"""Looks again at what differed, when the workers have read what was published before.

A live store is older or newer than the fold of the topics. Once its worker and those that feed it have passed the ends
at which the fold stopped, the store may not be older. It may be newer: so its state is read first and the topics
afterwards, and every version is right that was published since. The dead letters, too, are read after the wait, because
a worker publishes them before it commits.
"""

import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from typing import Any

from headrace_expected.differences import Comparison, Difference, Finding
from headrace_expected.entities import Expected
from headrace_letters.letter_reader import LetterReader
from headrace_runtime.decoder import Position
from headrace_schemas.changes import CHANGES
from headrace_schemas.fields import Kind
from headrace_verify.compared_store import ComparedStore
from headrace_verify.entity_comparison import finding, is_forgotten
from headrace_verify.fold import Fold
from headrace_verify.fold_file import Row
from headrace_verify.report import Found
from headrace_worker.scan import Scanned
from headrace_worker.settings import CommonSettings

CLOSE = 1e-12
"""Relative: a store may lose the last bit of a number, or keep 100.0 as 100."""

OLDER = (Difference.STALE, Difference.RESURRECTED)

Suspects = Mapping[Kind, Mapping[bytes, str]]


class SecondLook:
    """`suspects`: of one store, by kind and key."""

    def __init__(self, settings: CommonSettings, fold: Fold, store: ComparedStore, suspects: Suspects) -> None:
        self._settings = settings
        self._fold = fold
        self._store = store
        self._suspects = suspects
        self._before = {kind: fold.of(kind, set(of_kind.values())) for kind, of_kind in suspects.items()}
        self._stored: dict[Kind, dict[bytes, Scanned]] = {}

    async def read_store(self) -> None:
        """After the workers have passed the ends of the fold."""
        for kind, keys in self._suspects.items():
            self._stored[kind] = await self._store.scan.read(kind, list(keys))
            ids = {one.stored.id for one in self._stored[kind].values()} | set(keys.values())
            self._fold.keep((kind, id) for id in ids)

    async def found(self, reader: LetterReader) -> list[Found]:
        """What differs still. After the fold has read on."""
        rules, found = self._store.rules(self._fold.letters), []
        for kind, keys in self._suspects.items():
            for key, id in keys.items():
                stored = self._stored[kind].get(key)
                own = bool(id) and self._store.scan.key(id) == key
                if own and self._taken_back(kind, id):
                    continue
                row = self._expected(kind, id, stored) if own else None
                wrong = finding(rules, kind, id, row, stored)
                if wrong is None or is_forgotten(wrong) or self._may_be_older(rules, wrong, row):
                    continue
                if vector_may_follow(wrong, self._before[kind].get(id)):
                    continue
                if await self._same(kind, wrong, row, stored, reader):
                    continue
                if not own and stored is not None:
                    wrong = replace(wrong, difference=Difference.EXTRA, detail="is stored under another key, too")
                found.append(Found(self._store.name, wrong, key))
        return found

    def _expected(self, kind: Kind, id: str, stored: Scanned | None) -> Row | None:
        """What the store must hold if it has this: no less than the fold had, and what was published since up to the
        stored version.
        """
        before, now = self._before[kind].get(id), self._fold.of(kind, [id]).get(id)
        if now is None:
            return None
        least = before.expected.newest.version if before else 0
        limit = max(least, stored.stored.version if stored else 0)
        contents = tuple(one for one in now.expected.contents if one.version <= limit)
        if stored is not None and before is not None and stored.stored.version > now.expected.newest.version:
            contents = now.expected.contents
        return Row(Expected(kind, id, contents), now.at) if contents else None

    def _taken_back(self, kind: Kind, id: str) -> bool:
        """Whether the only version was taken back after the fold: the store may have it, or not any more."""
        return id in self._before[kind] and not self._fold.of(kind, [id])

    def _may_be_older(self, rules: Comparison, wrong: Finding, row: Row | None) -> bool:
        """Whether letters excuse every version that is known, of an entity whose lower versions are not: its letter was
        written after the fold had begun.
        """
        if row is None or wrong.difference not in OLDER or not self._fold.lacks_versions(wrong.kind, wrong.id):
            return False
        return rules.difference(wrong.kind, wrong.id, row.expected, None) is None

    async def _same(
        self, kind: Kind, wrong: Finding, row: Row | None, stored: Scanned | None, reader: LetterReader
    ) -> bool:
        """Whether other content is equal but for the notation of numbers."""
        if wrong.difference is not Difference.WRONG_CONTENT or row is None or stored is None or stored.stored.deleted:
            return False
        if stored.stored.digest not in (None, row.expected.newest.digest) or stored.fence != stored.stored.version:
            return False
        at = row.expected.newest.position
        async for _, record in reader.read([Position(self._settings.topics.source(kind), *at)]):
            if record is None or record.value is None:
                return False
            change = CHANGES[kind].model_validate_json(record.value)
            fields = {name: value for name, value in change.fields().items() if value is not None}
            return change.version == stored.stored.version and same(fields, stored.stored.fields)
        return False


def vector_may_follow(wrong: Finding, before: Row | None) -> bool:
    """Whether a vector is missing of a version that was published after the fold. While two models are served from one
    PostgreSQL, the worker of the other model may have written the row, and that of this model comes later.
    """
    least = before.expected.newest.version if before else 0
    return wrong.difference is Difference.MISSING_VECTOR and (wrong.stored or 0) > least


def same(one: Any, other: Any) -> bool:
    """Whether two values are equal; of numbers, whether they are nearly."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[name], other[name]) for name in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, int | float) and isinstance(other, int | float):
        return one == other or math.isclose(one, other, rel_tol=CLOSE)
    return bool(one == other)


def number_of(suspects: Iterable[Collection[bytes]]) -> int:
    """The number of suspects of all kinds."""
    return sum(map(len, suspects))
