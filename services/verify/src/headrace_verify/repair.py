"""Mends what differs. What is older than the newest change gets it again from its own worker, through the fence. What
is wrong under the version that it has is replaced, on condition that it is still what was seen.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, NamedTuple

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from headrace_clients.kafka import producer
from headrace_expected.differences import Difference
from headrace_letters.letter_reader import LetterReader, open_letter_reader
from headrace_runtime.decoder import Decoded, Decoder, Position
from headrace_schemas import headers
from headrace_schemas.changes import CHANGES, ID_FIELDS, Change
from headrace_schemas.digest import digest_of
from headrace_schemas.embedded import EMBEDDED, Embedding
from headrace_schemas.fields import Kind
from headrace_schemas.links import RelinkRequest
from headrace_verify.compared_store import ComparedStore
from headrace_verify.fold import Fold
from headrace_verify.fold_file import Row
from headrace_verify.report import Found
from headrace_worker.scan import Mends, Scanned
from headrace_worker.settings import CommonSettings
from headrace_worker.stage import BatchRejected, Unavailable

ACKNOWLEDGED_WITHIN = 60.0
LEFT_ALONE = (Difference.CONFLICT, Difference.AHEAD)
"""Nobody knows which content is right, or whether the topic has lost a version. These are for the catalogue to end."""
EMBED = "embed"


class Sent(NamedTuple):
    """A change for one worker. `topic`: on which that worker reads such records."""

    worker: str
    topic: str
    change: Any


@dataclass(slots=True)
class Repair:
    """What was done. `relinked`: the products whose links are computed again. `left`: what was left alone or refused,
    with the reason.
    """

    sent: list[Sent] = field(default_factory=list)
    mended: int = 0
    relinked: set[str] = field(default_factory=set)
    left: list[tuple[Found, str]] = field(default_factory=list)


async def repair(
    settings: CommonSettings, fold: Fold, stores: Iterable[ComparedStore], found: Sequence[Found]
) -> Repair:
    """Mends these differences. The workers may still have to read what was sent. Raises Unavailable."""
    done = Repair()
    async with open_letter_reader(settings.kafka) as reader:
        for store in stores:
            of_store = [one for one in found if one.store == store.name]
            for kind in CHANGES:
                await _Repairs(settings, fold, store, kind, reader, done).repair(of_store)
    done.relinked = {one.finding.id for one in found if one.finding.difference is Difference.BROKEN_LINKS}
    await _send(settings, done)
    return done


class _Repairs:
    """The entities of one kind in one store."""

    def __init__(
        self, settings: CommonSettings, fold: Fold, store: ComparedStore, kind: Kind, reader: LetterReader, done: Repair
    ) -> None:
        self._settings = settings
        self._fold = fold
        self._store = store
        self._kind = kind
        self._reader = reader
        self._done = done
        topic = settings.topics.source(kind)
        limit = settings.kafka.max_record_bytes
        self._decoder = Decoder({topic: CHANGES[kind]}, "", max_record_bytes=limit)

    async def repair(self, found: Iterable[Found]) -> None:
        wanted = []
        for one in found:
            if one.finding.kind != self._kind or one.finding.difference is Difference.BROKEN_LINKS:
                continue
            if one.finding.difference in LEFT_ALONE:
                self._done.left.append((one, "only a new version of the catalogue ends it"))
            else:
                wanted.append(one)
        seen = await self._store.scan.read(self._kind, [one.key for one in wanted])
        rows = self._fold.of(self._kind, [one.finding.id for one in wanted])
        # In the order of the topic, so that it is read once.
        for one in sorted(wanted, key=lambda one: _position(rows.get(one.finding.id))):
            await self._one(one, rows.get(one.finding.id), seen.get(one.key))

    async def _one(self, one: Found, row: Row | None, seen: Scanned | None) -> None:
        extra = one.finding.difference is Difference.EXTRA
        change = _gone(self._kind, one.finding.id, seen) if extra and seen else await self._newest(row)
        if change is None:
            self._done.left.append((one, "it is not in the topic any more"))
        elif not extra and (seen is None or seen.fence < change.version):
            self._done.sent.append(self._sent(change, row))
        elif seen is not None:
            await self._mend(one, change, row, seen)

    async def _mend(self, one: Found, change: Change, row: Row | None, seen: Scanned) -> None:
        record = self._record(change, row)
        if record is None:
            self._done.sent.append(self._to_embed(change))
            return
        if not isinstance(self._store.scan, Mends):
            self._done.left.append((one, "the store has no way to replace what has this version"))
            return
        try:
            await self._store.scan.mend(self._kind, seen, record)
            self._done.mended += 1
        except BatchRejected as refused:
            self._done.left.append((one, f"the store refuses it: {refused}"))

    async def _newest(self, row: Row | None) -> Change | None:
        """The newest change, from its place in the topic."""
        if row is None:
            return None
        place = Position(self._settings.topics.source(self._kind), *row.expected.newest.position)
        async for _, record in self._reader.read([place]):
            read = self._decoder.decode(record) if record is not None else None
            if isinstance(read, Decoded) and isinstance(read.change, Change):
                return read.change
        return None

    def _sent(self, change: Change, row: Row | None) -> Sent:
        record = self._record(change, row)
        if record is None:
            return self._to_embed(change)
        topics, kind = self._settings.topics, self._kind
        vectors = self._store.model is not None
        topic = topics.embedded(kind, self._settings.model) if vectors else topics.source(kind)
        return Sent(self._store.name, topic, record)

    def _to_embed(self, change: Change) -> Sent:
        """The vector is not on the topic any more: embed publishes it again, for every store with vectors."""
        return Sent(EMBED, self._settings.topics.source(self._kind), change)

    def _record(self, change: Change, row: Row | None) -> Any | None:
        """The change as the store's worker reads it; None if its vector is not known."""
        if self._store.model is None:
            return change
        fields: dict[str, Any] = change.model_dump(exclude_none=True) | {"digest": digest_of(change)}
        if not change.deleted:
            newest = row.expected.newest if row else None
            if newest is None or newest.vector is None or newest.content_hash is None:
                return None
            fields["embedding"] = Embedding(
                model=self._store.model, content_hash=newest.content_hash, vector=newest.vector
            )
        return EMBEDDED[self._kind].model_validate(fields)


def _gone(kind: Kind, id: str, seen: Scanned) -> Change:
    """A delete under the version that is stored, so that every later change of the catalogue counts."""
    fields: dict[str, Any] = {ID_FIELDS[kind]: id or "unknown", "version": max(1, seen.fence)}
    return CHANGES[kind].model_validate(fields | {"op": "delete", "occurred_at": datetime.now(UTC)})


def _position(row: Row | None) -> tuple[int, int]:
    return tuple(row.expected.newest.position) if row else (-1, -1)  # type: ignore[return-value]


async def _send(settings: CommonSettings, done: Repair) -> None:
    """Each change to the topic that only its worker reads, and the requests for links. Returns when all are
    acknowledged.
    """
    if not done.sent and not done.relinked:
        return
    # Two stores may want the same of embed.
    once = {(one.worker, one.change.kind, one.change.id): one for one in done.sent}
    requests = [RelinkRequest(product_id=id, republish=True) for id in sorted(done.relinked)]
    async with _open_producer(settings) as client:
        try:
            async with asyncio.timeout(ACKNOWLEDGED_WITHIN):
                waiting = [await _sending(client, settings, one) for one in once.values()]
                waiting += [await _requesting(client, settings, one) for one in requests]
                await asyncio.gather(*waiting)
        except (KafkaError, TimeoutError) as error:
            raise Unavailable("kafka", f"it does not acknowledge: {type(error).__name__}") from error


async def _requesting(client: AIOKafkaProducer, settings: CommonSettings, request: RelinkRequest) -> Any:
    named = [headers.schema_pair(request)]
    return await client.send(
        settings.topics.relink, request.model_dump_json().encode(), key=request.id.encode(), headers=named
    )


async def _sending(client: AIOKafkaProducer, settings: CommonSettings, one: Sent) -> Any:
    named = [headers.schema_pair(one.change), (headers.CONNECT_TOPIC, one.topic.encode())]
    value = one.change.model_dump_json(exclude_none=True).encode()
    return await client.send(settings.topics.replay(one.worker), value, key=one.change.id.encode(), headers=named)


@asynccontextmanager
async def _open_producer(settings: CommonSettings) -> AsyncIterator[AIOKafkaProducer]:
    client = producer(settings.kafka)
    try:
        await client.start()
        yield client
    except OSError as error:
        raise Unavailable("kafka", f"cannot be reached: {type(error).__name__}", kind="unreachable") from error
    finally:
        await client.stop()
