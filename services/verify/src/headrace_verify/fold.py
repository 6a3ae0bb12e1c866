"""What every store must hold, read from the topics: the newest version of each entity, and the letters that excuse."""

from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from typing import Any

from headrace_clients.consumer_groups import Offsets
from headrace_expected.entities import Entity, Expected, Letter, Position, expected_of, merge
from headrace_letters.letter import read_letter
from headrace_runtime.decoder import Decoded, Decoder, Undecoded
from headrace_schemas.canary import CANARY_ID
from headrace_schemas.changes import CHANGES, Change, ProductChange
from headrace_schemas.embedded import EMBEDDED
from headrace_schemas.fields import Kind
from headrace_schemas.forget_record import Forget
from headrace_verify.fold_file import FoldFile, Row
from headrace_verify.source_reader import SourceReader, open_source
from headrace_worker.settings import CommonSettings
from headrace_worker.stage import Unavailable
from headrace_worker.worker import rejecting_names

NOWHERE = Position(-1, -1)
OnRead = Callable[[int], None]
"""Gets the number of records that were read since the last call."""


class Fold:
    """The topics up to the ends of the last `read`.

    `letters`: of all workers, discarded ones included. `link_letters`: worker and product of those about link sets and
    requests for them. `ends`: of the source topics.
    """

    def __init__(self, settings: CommonSettings, source: SourceReader, embedded: SourceReader, dead: SourceReader):
        self._settings = settings
        self._source, self._embedded, self._dead = source, embedded, dead
        topics = settings.topics
        inputs: dict[str, type[Any]] = {topics.source(kind): model for kind, model in CHANGES.items()}
        inputs |= {topics.embedded(kind, settings.model): model for kind, model in EMBEDDED.items()}
        limit = settings.kafka.max_record_bytes
        self._decoder = Decoder(inputs, "", accept_newer=True, max_record_bytes=limit)
        self._histories: dict[Entity, Expected] = {}
        self._begun_late: set[Entity] = set()
        self.file = FoldFile()
        self.letters: set[Letter] = set()
        self.link_letters: set[tuple[str, str]] = set()
        self.ends: Offsets = {}

    async def left(self) -> int:
        """The number of records that a read would read now."""
        readers = (self._dead, self._source, self._embedded)
        return sum([await reader.left(await reader.ends()) for reader in readers])

    async def read(self, on_read: OnRead = lambda read: None) -> None:
        """Reads on to the ends as of now. The letters first, because lower versions are kept only of their entities.

        Raises Unavailable.
        """
        await self._read_letters(on_read)
        self.ends = await self._source.ends()
        async for records in self._source.records(self.ends, on_read):
            self._put(records)
        async for records in self._embedded.records(await self._embedded.ends(), on_read):
            changes = [change for change, _ in self._changes(records) if not change.deleted]
            self.file.put_vectors([(expected_of(change, NOWHERE), text_of(change)) for change in changes])

    async def _read_letters(self, on_read: OnRead = lambda read: None) -> None:
        """Reads the dead letters to their end, and keeps every version of their entities from now on."""
        async for records in self._dead.records(await self._dead.ends(), on_read):
            for record in records:
                found = read_letter(record, self._settings.topics)
                if (found.kind == "product" or found.kind == "keyword") and found.entity_id and found.version:
                    self.letters.add(Letter(found.worker, found.kind, found.entity_id, found.version))
                    self.keep([(found.kind, found.entity_id)])
                elif found.kind in ("product_links", "relink") and found.entity_id:
                    self.link_letters.add((found.worker, found.entity_id))

    def keep(self, entities: Iterable[Entity]) -> None:
        """Keeps every version of these entities from now on, and not the newest only."""
        for kind, id in entities:
            if (kind, id) not in self._histories:
                row = self.file.of(kind, [id]).get(id)
                self._histories[kind, id] = row.expected if row else Expected(kind, id, ())
                if row:
                    self._begun_late.add((kind, id))

    def lacks_versions(self, kind: Kind, id: str) -> bool:
        """Whether lower versions of an entity were published before `keep` was called for it, and may be unknown."""
        return (kind, id) in self._begun_late

    def of(self, kind: Kind, ids: Iterable[str]) -> dict[str, Row]:
        """What is expected of these entities."""
        return {id: self.with_history(row) for id, row in self.file.of(kind, ids).items()}

    def with_history(self, row: Row) -> Row:
        """The row with the lower versions of an entity of which they are kept."""
        known = self._histories.get((row.expected.kind, row.expected.id))
        return row if known is None else row._replace(expected=_with_vectors(known, row.expected))

    def _put(self, records: Iterable[Any]) -> None:
        part: list[tuple[Expected, int]] = []
        for change, record in self._changes(records, self._forget(part)):
            one = expected_of(change, Position(record.partition, record.offset))
            part.append((one, record.timestamp))
            if known := self._histories.get((one.kind, one.id)):
                self._histories[one.kind, one.id] = merge(known, one)
        self.file.put(part)

    def _forget(self, part: list[tuple[Expected, int]]) -> Callable[[Forget], None]:
        def forget(record: Forget) -> None:
            self.file.put(part)
            part.clear()
            self.file.forget(record.kind, record.id, record.version)
            entity = (record.kind, record.id)
            known = self._histories.get(entity)
            if known and known.contents and known.newest.version == record.version:
                self._histories[entity] = Expected(*entity, ())

        return forget

    def _changes(
        self, records: Iterable[Any], on_forget: Callable[[Forget], None] = lambda record: None
    ) -> Iterable[tuple[Change, Any]]:
        """The changes with their records. A record that cannot be decoded is in no store."""
        for record in records:
            read = self._decoder.decode(record)
            if isinstance(read, Undecoded) and read.rejection.cause == ("newer",):
                raise Unavailable("kafka", f"{record.topic} has records of a newer schema: deploy the newer release")
            if not isinstance(read, Decoded):
                continue
            if isinstance(read.change, Forget):
                on_forget(read.change)
            elif isinstance(read.change, Change) and read.change.id != CANARY_ID:
                yield read.change, record


@asynccontextmanager
async def open_fold(settings: CommonSettings) -> AsyncIterator[Fold]:
    """An empty fold; its file is removed at the end. Raises Unavailable."""
    topics = settings.topics
    async with AsyncExitStack() as stack:
        source = await stack.enter_async_context(open_source(settings.kafka, map(topics.source, CHANGES)))
        of_model = [topics.embedded(kind, settings.model) for kind in CHANGES]
        embedded = await stack.enter_async_context(open_source(settings.kafka, of_model))
        dead = await stack.enter_async_context(open_source(settings.kafka, map(topics.dead, rejecting_names())))
        fold = Fold(settings, source, embedded, dead)
        stack.callback(fold.file.remove)
        yield fold


def text_of(change: Change) -> str:
    """The title of a product, the text of a keyword."""
    return (change.title if isinstance(change, ProductChange) else getattr(change, "text", None)) or ""


def _with_vectors(known: Expected, row: Expected) -> Expected:
    """The history, with the vector that the file has of the newest version."""
    newest = row.newest
    contents = [
        replace(one, content_hash=newest.content_hash, vector=newest.vector)
        if not known.conflict and one.version == newest.version
        else one
        for one in known.contents
    ]
    return replace(known, contents=tuple(contents))
