"""What the topics say of every entity, in a temporary file: memory does not grow with the catalogue.

A row has the newest version of an entity, or two rows if that version was published with two contents. The rules are
those of `headrace_expected`; the file only keeps what they need.
"""

import sqlite3
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from tempfile import TemporaryDirectory
from typing import NamedTuple

from headrace_expected.entities import Expected, Position, Published
from headrace_schemas.fields import Kind
from headrace_schemas.topics import SOURCE_NAMES

KINDS: dict[Kind, int] = {kind: number for number, kind in enumerate(SOURCE_NAMES)}
CACHE_KIB = 32 * 1024
TABLES = """
    CREATE TABLE entity (
        kind INTEGER, id BLOB, version INTEGER, part INTEGER, place INTEGER, deleted INTEGER, digest TEXT, at INTEGER,
        other TEXT, PRIMARY KEY (kind, id)
    ) WITHOUT ROWID;
    CREATE TABLE vector (
        kind INTEGER, id BLOB, version INTEGER, text TEXT, content_hash TEXT, vector BLOB,
        PRIMARY KEY (kind, id)
    );
    CREATE TABLE key (kind INTEGER, key BLOB, id BLOB, PRIMARY KEY (kind, key)) WITHOUT ROWID;
"""
PUT_ENTITY = """
    INSERT INTO entity VALUES (?, ?, ?, ?, ?, ?, ?, ?, NULL) ON CONFLICT (kind, id) DO UPDATE SET
    other = CASE WHEN excluded.version > version THEN NULL
        WHEN excluded.digest <> digest THEN coalesce(other, excluded.deleted || ' ' || excluded.place || ' ' ||
            excluded.digest) ELSE other END,
    digest = CASE WHEN excluded.version > version THEN excluded.digest ELSE digest END,
    deleted = CASE WHEN excluded.version > version THEN excluded.deleted ELSE deleted END,
    part = CASE WHEN excluded.version > version THEN excluded.part ELSE part END,
    place = CASE WHEN excluded.version > version THEN excluded.place ELSE place END,
    at = CASE WHEN excluded.version > version THEN excluded.at ELSE at END,
    version = excluded.version
    WHERE excluded.version >= version
"""
PUT_VECTOR = """
    INSERT INTO vector VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (kind, id) DO UPDATE SET version = excluded.version,
    text = excluded.text, content_hash = excluded.content_hash, vector = excluded.vector
    WHERE excluded.version > version
"""
SELECT = """
    SELECT e.id, e.version, e.part, e.place, e.deleted, e.digest, e.at, e.other, v.content_hash, v.vector
    FROM entity e LEFT JOIN vector v ON v.kind = e.kind AND v.id = e.id AND v.version = e.version
"""


class Row(NamedTuple):
    """What the topics say of one entity. `at`: when its newest version was published, milliseconds since 1970."""

    expected: Expected
    at: int


class FoldFile:
    """Filled while the topics are read; `remove` deletes it."""

    def __init__(self) -> None:
        self._folder = TemporaryDirectory(prefix="headrace-verify-")
        self._file = sqlite3.connect(f"{self._folder.name}/fold", isolation_level=None)
        self._file.executescript(f"PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; {TABLES}")
        self._file.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
        self._key: Callable[[str], bytes] | None = None
        self._keyed = False

    def put(self, expected: Sequence[tuple[Expected, int]]) -> None:
        """Adds changes with the times of their records, in the order of their partitions."""
        self._write(PUT_ENTITY, [_entity_row(one, at) for one, at in expected])
        if (key := self._key) is not None:
            rows = [(KINDS[one.kind], key(one.id), one.id.encode()) for one, _ in expected]
            self._write("INSERT OR IGNORE INTO key VALUES (?, ?, ?)", rows)

    def put_vectors(self, expected: Sequence[tuple[Expected, str]]) -> None:
        """Adds what `embed` has published, with the title or the text."""
        self._write(PUT_VECTOR, [_vector_row(one, text) for one, text in expected])

    def forget(self, kind: Kind, id: str, version: int) -> None:
        """The version was taken back."""
        for table in ("entity", "vector"):
            where = (KINDS[kind], id.encode(), version)
            self._file.execute(f"DELETE FROM {table} WHERE kind = ? AND id = ? AND version = ?", where)  # noqa: S608

    def key_by(self, key: Callable[[str], bytes] | None) -> None:
        """Sorts all entities, and those that are put later, by another key than their id. None: by their id."""
        self._keyed = key is not None
        if key is None or key == self._key:
            return
        self._key = key
        self._file.create_function("key_of", 1, lambda id: key(id.decode()), deterministic=True)
        self._file.execute("DELETE FROM key")
        self._file.execute("INSERT OR REPLACE INTO key SELECT kind, key_of(id), id FROM entity")

    def between(self, kind: Kind, after: bytes, upto: bytes | None) -> list[tuple[bytes, Row]]:
        """The entities whose keys are beyond `after` and up to `upto`, with their keys."""
        by = "k.key" if self._keyed else "e.id"
        joined = "JOIN key k ON k.kind = e.kind AND k.id = e.id" if self._keyed else ""
        upper = "" if upto is None else f"AND {by} <= ?"
        statement = f"{SELECT} {joined} WHERE e.kind = ? AND {by} > ? {upper} ORDER BY {by}"
        if self._keyed:
            statement = statement.replace("SELECT e.id", "SELECT k.key, e.id").replace("e.kind = ?", "k.kind = ?")
        else:
            statement = statement.replace("SELECT e.id", "SELECT e.id, e.id")
        rows = self._file.execute(statement, (KINDS[kind], after, *([] if upto is None else [upto])))
        return [(key, _row(kind, row)) for key, *row in rows]

    def of(self, kind: Kind, ids: Iterable[str]) -> dict[str, Row]:
        """The entities of these ids."""
        found = {}
        for id in ids:
            for row in self._file.execute(f"{SELECT} WHERE e.kind = ? AND e.id = ?", (KINDS[kind], id.encode())):
                found[id] = _row(kind, row)
        return found

    def count(self, kind: Kind) -> int:
        """The number of entities."""
        ((number,),) = self._file.execute("SELECT count(*) FROM entity WHERE kind = ?", (KINDS[kind],))
        return int(number)

    def random_ids(self, kind: Kind, number: int) -> list[str]:
        """Some entities, all if there are no more."""
        statement = "SELECT id FROM entity WHERE kind = ? ORDER BY random() LIMIT ?"
        rows = self._file.execute(statement, (KINDS[kind], number))
        return [id.decode() for (id,) in rows]

    def boundaries(self, kind: Kind, every: int) -> list[bytes]:
        """The key of every n-th entity, in order."""
        table, by = ("key", "key") if self._keyed else ("entity", "id")
        rows = self._file.execute(f"SELECT {by} FROM {table} WHERE kind = ? ORDER BY {by}", (KINDS[kind],))  # noqa: S608
        return [key for place, (key,) in enumerate(rows, 1) if place % every == 0]

    def live_count(self, kind: Kind) -> int:
        """The number of entities that are not deleted."""
        ((number,),) = self._file.execute("SELECT count(*) FROM entity WHERE kind = ? AND NOT deleted", (KINDS[kind],))
        return int(number)

    def texts(self, kind: Kind, ids: Iterable[str] | None = None) -> dict[str, tuple[str, bytes]]:
        """Text (of a product its title) and vector of every live entity, or of these, whose vector is known."""
        statement = """
            SELECT e.id, v.text, v.vector FROM entity e
            JOIN vector v ON v.kind = e.kind AND v.id = e.id AND v.version = e.version
            WHERE e.kind = ? AND NOT e.deleted
        """
        wanted = [()] if ids is None else [(id.encode(),) for id in ids]
        found = {}
        for one in wanted:
            only = " AND e.id = ?" if one else ""
            for id, text, vector in self._file.execute(statement + only, (KINDS[kind], *one)):
                found[id.decode()] = (text, vector)
        return found

    def remove(self) -> None:
        """Closes and deletes the file."""
        self._file.close()
        self._folder.cleanup()

    def _write(self, statement: str, rows: Sequence[tuple[object, ...]]) -> None:
        self._file.execute("BEGIN")
        self._file.executemany(statement, rows)
        self._file.execute("COMMIT")


def _entity_row(one: Expected, at: int) -> tuple[object, ...]:
    newest = one.newest
    where = (newest.position.partition, newest.position.offset)
    return (KINDS[one.kind], one.id.encode(), newest.version, *where, newest.deleted, newest.digest, at)


def _vector_row(one: Expected, text: str) -> tuple[object, ...]:
    newest = one.newest
    return (KINDS[one.kind], one.id.encode(), newest.version, text, newest.content_hash, newest.vector)


def _row(kind: Kind, row: Sequence[object]) -> Row:
    id, version, part, place, deleted, digest, at, other, content_hash, vector = row
    assert isinstance(id, bytes)
    first = Published(version, Position(part, place), bool(deleted), digest, content_hash, vector)  # type: ignore[arg-type]
    contents = [first]
    if isinstance(other, str):
        also_deleted, also_place, also_digest = other.split(" ")
        # Which of the two a vector is of is not known, so neither is compared.
        contents = [replace(first, content_hash=None, vector=None)]
        also = Position(first.position.partition, int(also_place))
        contents.append(Published(first.version, also, also_deleted == "1", also_digest))
    return Row(Expected(kind, id.decode(), tuple(contents)), at)  # type: ignore[arg-type]
