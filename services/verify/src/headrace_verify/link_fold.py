"""The published link sets, in a temporary file: of each product the newest, in a few hundred bytes."""

import hashlib
import sqlite3
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np
from pydantic_core import to_json

from headrace_runtime.decoder import Decoded, Decoder
from headrace_schemas.canary import CANARY_ID
from headrace_schemas.links import ProductLinks
from headrace_verify.fold import OnRead
from headrace_verify.source_reader import SourceReader, open_source
from headrace_worker.settings import CommonSettings

TABLE = """
    CREATE TABLE link_set (id TEXT PRIMARY KEY, version INTEGER, deleted INTEGER, digest BLOB, scores BLOB)
    WITHOUT ROWID
"""
PUT = """
    INSERT INTO link_set VALUES (?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET version = excluded.version,
    deleted = excluded.deleted, digest = excluded.digest, scores = excluded.scores WHERE excluded.version > version
"""
SAME_SCORE = 1e-5


class PublishedSet(NamedTuple):
    """One link set. `digest`: of everything but the version and the scores. `scores`: float32."""

    version: int
    deleted: bool
    digest: bytes
    scores: bytes

    def equals(self, other: "PublishedSet") -> bool:
        """Whether the two differ in nothing but the version. A store may lose the last bits of a score."""
        if (self.deleted, self.digest, len(self.scores)) != (other.deleted, other.digest, len(other.scores)):
            return False
        one, two = (np.frombuffer(scores, "<f4") for scores in (self.scores, other.scores))
        return bool(np.all(np.abs(one - two) <= SAME_SCORE))


def summary(links: ProductLinks) -> PublishedSet:
    """What is compared of a link set."""
    content = [links.title, [(link.keyword_id, link.text, link.rank) for link in links.links]]
    scores = np.array([link.score for link in links.links], "<f4").tobytes()
    return PublishedSet(links.version, links.deleted, hashlib.sha256(to_json(content)).digest()[:16], scores)


class LinkFold:
    """The link sets on the topic up to the end of the last `read`.

    `since`: every set that was published later of the products that are kept.
    """

    def __init__(self, settings: CommonSettings, reader: SourceReader) -> None:
        self._folder = TemporaryDirectory(prefix="headrace-verify-")
        self._file = sqlite3.connect(f"{self._folder.name}/links", isolation_level=None)
        self._file.executescript(f"PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; {TABLE}")
        self._reader = reader
        limit = settings.kafka.max_record_bytes
        inputs = {settings.topics.product_links: ProductLinks}
        self._decoder = Decoder(inputs, "", max_record_bytes=limit, model=settings.model)
        self._kept: dict[str, list[PublishedSet]] = {}

    async def read(self, on_read: OnRead = lambda read: None) -> None:
        """Reads on to the end as of now. Raises Unavailable."""
        async for records in self._reader.records(await self._reader.ends(), on_read):
            sets = list(self._decoded(records))
            self._file.execute("BEGIN")
            self._file.executemany(PUT, [(one.product_id, *summary(one)) for one in sets])
            self._file.execute("COMMIT")
            for one in sets:
                if one.product_id in self._kept:
                    self._kept[one.product_id].append(summary(one))

    def keep(self, ids: Iterable[str]) -> None:
        """Keeps every set of these products from now on."""
        for id in ids:
            newest = self.of([id]).get(id)
            self._kept.setdefault(id, [newest] if newest else [])

    def kept(self, id: str) -> list[PublishedSet]:
        """The newest set when `keep` was called, and all later ones."""
        return self._kept.get(id, [])

    def of(self, ids: Iterable[str]) -> dict[str, PublishedSet]:
        """The newest published set of each of these products."""
        found = {}
        for id in ids:
            for version, deleted, digest, scores in self._file.execute(
                "SELECT version, deleted, digest, scores FROM link_set WHERE id = ?", (id,)
            ):
                found[id] = PublishedSet(version, bool(deleted), digest, scores)
        return found

    def live_ids(self) -> Iterable[str]:
        """The products whose newest set is that of a live product."""
        return (id for (id,) in self._file.execute("SELECT id FROM link_set WHERE NOT deleted"))

    def remove(self) -> None:
        """Closes and deletes the file."""
        self._file.close()
        self._folder.cleanup()

    def _decoded(self, records: Iterable[Any]) -> Iterable[ProductLinks]:
        for record in records:
            read = self._decoder.decode(record)
            if isinstance(read, Decoded) and isinstance(read.change, ProductLinks) and read.change.id != CANARY_ID:
                yield read.change


@asynccontextmanager
async def open_link_fold(settings: CommonSettings) -> AsyncIterator[LinkFold]:
    """An empty fold. Raises Unavailable."""
    async with open_source(settings.kafka, [settings.topics.product_links]) as reader:
        fold = LinkFold(settings, reader)
        try:
            yield fold
        finally:
            fold.remove()
