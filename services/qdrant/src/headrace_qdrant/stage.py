"""Changes into Qdrant, fenced by the version that each point stores."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from itertools import chain

from qdrant_client import AsyncQdrantClient, models

from headrace_clients.qdrant import (
    STORE,
    VECTOR,
    check_completed,
    connect,
    current_collection,
    point_id,
    qdrant_errors,
    vector_size,
)
from headrace_qdrant.points import SEEN_FIELDS, Seen, Writes, newer_than_stored, of_version, outcomes, seen, writes
from headrace_qdrant.settings import QdrantWorkerSettings
from headrace_schemas.embedded import EmbeddedChange
from headrace_schemas.fields import Kind
from headrace_schemas.forget_record import Forget
from headrace_schemas.topics import SOURCE_NAMES
from headrace_worker.parts import write_parts
from headrace_worker.stage import Applied, Outcome, Superseded, Unavailable
from headrace_worker.store_names import StoreNames
from headrace_worker.vectors import vector_fault

PART = 256
"""Changes of one request: larger requests are not faster."""
IN_FLIGHT = 4
ROUNDS = 8
"""Reads and writes of one part. One round is usual; more are needed only if another writer changes the same points."""
CHECK_SECONDS = 5.0
ALREADY_APPLIED = Applied(without_work=True)

Key = tuple[Kind, str]


@asynccontextmanager
async def open_stage(settings: QdrantWorkerSettings) -> AsyncIterator["QdrantStage"]:
    """The stage with its client; the server may be down."""
    client = connect(settings.qdrant)
    try:
        yield QdrantStage(client, settings.names)
    finally:
        await client.close()


class QdrantStage:
    """Keeps one model's collections equal to the newest version of each entity.

    Each part of a batch is read, written and read again. The first read decides what to send: nothing for a
    redelivery, only the fields for an unchanged text, and as few fences as the stored versions allow. The last read
    decides the outcomes. Only the conditions of the writes keep older versions out.
    """

    def __init__(self, client: AsyncQdrantClient, names: StoreNames) -> None:
        self._client = client
        self._model = names.model
        self._collections = {kind: current_collection(kind, names) for kind in SOURCE_NAMES}
        self._dimensions: dict[Kind, int] = {}
        self._slots = asyncio.Semaphore(IN_FLIGHT)

    async def apply(self, changes: Sequence[EmbeddedChange]) -> Sequence[Outcome]:
        if not self._dimensions:
            await self._read_dimensions()
        found: dict[Key, Outcome] = {}
        for change in changes:
            if fault := vector_fault(change, self._model, self._dimensions[change.kind], STORE):
                found[key(change)] = fault
        parts = parts_of([change for change in changes if key(change) not in found])
        found |= zip(map(key, chain(*parts)), await write_parts(parts, self._write_part, self._slots), strict=True)
        return [found[key(change)] for change in changes]

    async def forget(self, record: Forget) -> Outcome:
        collection = self._collections[record.kind]
        with qdrant_errors("write"):
            selected = models.FilterSelector(filter=of_version(record.id, record.version))
            check_completed([await self._client.delete(collection, selected, True, models.WriteOrdering.STRONG)])
        with qdrant_errors("read"):
            points = await self._client.retrieve(collection, [point_id(record.id)], with_payload=SEEN_FIELDS)
        version = max((seen(point.payload).version for point in points), default=0)
        return Superseded(by=version) if version > record.version else Applied()

    async def check(self) -> None:
        with qdrant_errors():
            async with asyncio.timeout(CHECK_SECONDS):
                await self._read_dimensions()

    async def _read_dimensions(self) -> None:
        """From the collections and not from the settings, so that a wrong setting does not make dead letters."""
        dimensions = {}
        for kind, collection in self._collections.items():
            with qdrant_errors("check"):
                size = await vector_size(self._client, collection, VECTOR)
            if size is None:
                raise Unavailable(STORE, f"the collection {collection} has no vector named {VECTOR}")
            dimensions[kind] = size
        self._dimensions = dimensions

    async def _write_part(self, changes: Sequence[EmbeddedChange]) -> list[Outcome]:
        """Writes changes of one kind. Raises Unavailable or BatchRejected."""
        collection = self._collections[changes[0].kind]
        written: set[str] = set()
        for _ in range(ROUNDS):
            stored = await self._read(collection, changes)
            newer = newer_than_stored(changes, stored)
            if not newer:
                found = outcomes(changes, stored)
                return [
                    ALREADY_APPLIED if change.id not in written and isinstance(outcome, Applied) else outcome
                    for change, outcome in zip(changes, found, strict=True)
                ]
            written |= {change.id for change in newer}
            await self._write(collection, writes(newer, stored))
        raise Unavailable(STORE, f"other writers kept changing {len(newer)} points; gave up after {ROUNDS} rounds")

    async def _read(self, collection: str, changes: Sequence[EmbeddedChange]) -> dict[str, Seen]:
        ids = {point_id(change.id): change.id for change in changes}
        with qdrant_errors("read"):
            points = await self._client.retrieve(collection, list(ids), with_payload=SEEN_FIELDS, with_vectors=False)
        return {ids[str(point.id)]: seen(point.payload) for point in points}

    async def _write(self, collection: str, planned: Writes) -> None:
        """In one request, rarely in two: a plain upsert is cheaper to send and to parse than a batch of operations."""
        strong = models.WriteOrdering.STRONG
        results: list[models.UpdateResult] = []
        with qdrant_errors("write"):
            if whole := planned.upsert:
                fence = whole.update_filter
                results.append(await self._client.upsert(collection, whole.points, True, strong, update_filter=fence))
            if planned.operations:
                results += await self._client.batch_update_points(collection, planned.operations, True, strong)
        check_completed(results)


def key(change: EmbeddedChange) -> Key:
    return change.kind, change.id


def parts_of(changes: Sequence[EmbeddedChange]) -> list[list[EmbeddedChange]]:
    """Parts of one kind each, with neighbouring versions together, because those most often share a fence."""
    parts = []
    for kind in SOURCE_NAMES:
        alike = sorted((change for change in changes if change.kind == kind), key=lambda change: change.version)
        parts += [alike[start : start + PART] for start in range(0, len(alike), PART)]
    return parts
