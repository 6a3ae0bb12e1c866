"""Changes into Qdrant, fenced by the version that each point holds."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from qdrant_client import AsyncQdrantClient, models

from headrace_clients.qdrant import check_completed, collection_of, connect, point_id
from headrace_clients.qdrant_errors import STORE, qdrant_errors
from headrace_qdrant.collections import KINDS, dimension_of
from headrace_qdrant.plan import Writes, newer_than_held, outcomes, writes
from headrace_qdrant.points import HELD_FIELDS, Held, held
from headrace_qdrant.settings import QdrantWorkerSettings
from headrace_schemas.embedded import EmbeddedChange
from headrace_schemas.fields import Kind
from headrace_worker.stage import Outcome, Unavailable
from headrace_worker.vectors import vector_fault

SHARE = 256
"""Changes of one request: more of them do not make Qdrant faster."""
IN_FLIGHT = 4
ROUNDS = 8
"""One is usual. Another is needed only if another writer came between the look and the write."""
CHECK_SECONDS = 5.0

Key = tuple[Kind, str]


@asynccontextmanager
async def open_stage(settings: QdrantWorkerSettings) -> AsyncIterator["QdrantStage"]:
    """The stage with its client; the server need not be up."""
    client = connect(settings.qdrant)
    try:
        yield QdrantStage(client, settings.model)
    finally:
        await client.close()


class QdrantStage:
    """Keeps one model's collections equal to the newest version of each entity.

    A share of a batch is looked at, written and looked at again. What was seen first decides what is worth sending:
    nothing for a redelivery, the fields alone for unchanged content, as few fences as the held versions allow.
    What is seen last says what became of it; the conditions of the writes alone keep older versions out.
    """

    def __init__(self, client: AsyncQdrantClient, model: str) -> None:
        self._client = client
        self._model = model
        self._collections = {kind: collection_of(kind, model) for kind in KINDS}
        self._dimensions: dict[Kind, int] = {}
        self._slots = asyncio.Semaphore(IN_FLIGHT)

    async def apply(self, changes: Sequence[EmbeddedChange]) -> Sequence[Outcome]:
        if not self._dimensions:
            await self._learn_dimensions()
        settled: dict[Key, Outcome] = {}
        for change in changes:
            if fault := vector_fault(change, self._model, self._dimensions[change.kind], STORE):
                settled[key(change)] = fault
        parts = shares([change for change in changes if key(change) not in settled])
        answers = await asyncio.gather(*(self._settle(part) for part in parts), return_exceptions=True)
        down = [answer for answer in answers if isinstance(answer, Unavailable)]
        for part, answer in zip(parts, answers, strict=True):
            if isinstance(answer, Unavailable) and len(down) < len(parts):
                answer = [answer] * len(part)
            if isinstance(answer, BaseException):
                raise down[0] if down else answer
            settled |= zip(map(key, part), answer, strict=True)
        return [settled[key(change)] for change in changes]

    async def check(self) -> None:
        with qdrant_errors():
            async with asyncio.timeout(CHECK_SECONDS):
                await self._learn_dimensions()

    async def _learn_dimensions(self) -> None:
        """What the collections accept is asked of them, so that a wrong setting cannot fill the dead letters."""
        with qdrant_errors():
            self._dimensions = {
                kind: await dimension_of(self._client, collection) for kind, collection in self._collections.items()
            }

    async def _settle(self, changes: Sequence[EmbeddedChange]) -> list[Outcome]:
        """Writes changes of one kind. Raises Unavailable or BatchRejected."""
        collection = self._collections[changes[0].kind]
        async with self._slots:
            for _ in range(ROUNDS):
                seen = await self._look(collection, changes)
                newer = newer_than_held(changes, seen)
                if not newer:
                    return outcomes(changes, seen)
                await self._write(collection, writes(newer, seen))
        raise Unavailable(STORE, f"{len(newer)} points are being changed by others all the time")

    async def _look(self, collection: str, changes: Sequence[EmbeddedChange]) -> dict[str, Held]:
        ids = {point_id(change.id): change.id for change in changes}
        with qdrant_errors():
            points = await self._client.retrieve(collection, list(ids), with_payload=HELD_FIELDS, with_vectors=False)
        return {ids[str(point.id)]: held(point.payload) for point in points}

    async def _write(self, collection: str, planned: Writes) -> None:
        """One request, rarely two: a batch of operations is dearer to send and to read than a plain upsert."""
        strong = models.WriteOrdering.STRONG
        results: list[models.UpdateResult] = []
        with qdrant_errors():
            if whole := planned.upsert:
                fence = whole.update_filter
                results.append(await self._client.upsert(collection, whole.points, True, strong, update_filter=fence))
            if planned.operations:
                results += await self._client.batch_update_points(collection, planned.operations, True, strong)
        check_completed(results)


def key(change: EmbeddedChange) -> Key:
    return change.kind, change.id


def shares(changes: Sequence[EmbeddedChange]) -> list[list[EmbeddedChange]]:
    """Parts of one kind each. Neighbouring versions go together, because those most often share a fence."""
    parts = []
    for kind in KINDS:
        alike = sorted((change for change in changes if change.kind == kind), key=lambda change: change.version)
        parts += [alike[start : start + SHARE] for start in range(0, len(alike), SHARE)]
    return parts
