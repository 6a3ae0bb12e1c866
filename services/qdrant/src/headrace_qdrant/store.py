"""The read side of Qdrant: search, and what is stored."""

from collections.abc import AsyncIterator, Sequence
from typing import Any

from qdrant_client import AsyncQdrantClient, models

from headrace_clients.qdrant import VECTOR, collection_of, connect, current_collection, point_id, qdrant_errors
from headrace_clients.qdrant_collections import (
    WrongCollection,
    aliased_collection,
    check_unused,
    create_alias,
    create_collection,
    create_indexes,
    drop_collections,
    move_alias,
    other_model,
)
from headrace_qdrant.settings import QdrantWorkerSettings
from headrace_schemas.canary import CANARY_ID
from headrace_schemas.changes import CHANGES, ID_FIELDS
from headrace_schemas.fields import Kind
from headrace_schemas.topics import SOURCE_NAMES
from headrace_worker.store import Filters, Hit, Query, Stored
from headrace_worker.store_names import model_in

PAGE = 1000
"""Points of one request of a scan."""
LIVE = models.FieldCondition(key="deleted", match=models.MatchValue(value=False))


def open_store(settings: QdrantWorkerSettings) -> "QdrantStore":
    """The store with its client; the server may be down."""
    return QdrantStore(connect(settings.qdrant), settings)


class QdrantStore:
    """One model's collections as the command line sees them."""

    def __init__(self, client: AsyncQdrantClient, settings: QdrantWorkerSettings) -> None:
        self._client = client
        self._settings = settings
        self._collections = {kind: current_collection(kind, settings.names) for kind in SOURCE_NAMES}
        self._aliases = {kind: settings.names.public(name) for kind, name in SOURCE_NAMES.items()}

    async def prepare(self) -> list[str]:
        """Raises WrongCollection if a collection of this model has vectors of another size."""
        made = []
        with qdrant_errors():
            for kind in self._collections:
                made += await self._create_missing(kind)
        return made

    async def serve(self) -> list[str]:
        with qdrant_errors():
            moved = [
                await move_alias(self._client, alias, await self._physical(kind))
                for kind, alias in self._aliases.items()
            ]
        return [line for lines in moved for line in lines]

    async def other_model(self) -> str | None:
        with qdrant_errors():
            return await other_model(self._client, self._aliases["product"], await self._physical("product"))

    async def check_unused(self) -> None:
        with qdrant_errors():
            await check_unused(self._client, await self._public_to_physical())

    async def drop_model(self) -> list[str]:
        with qdrant_errors():
            return await drop_collections(self._client, await self._public_to_physical())

    async def refresh(self) -> None:
        """Nothing to do: a completed write is searchable at once."""

    async def scan(self, kind: Kind) -> AsyncIterator[Stored]:
        offset: Any = None
        while True:
            with qdrant_errors("scan"):
                points, offset = await self._client.scroll(
                    self._collections[kind], limit=PAGE, offset=offset, with_payload=True, with_vectors=False
                )
            for point in points:
                entity = stored(kind, point.payload or {})
                if entity.id != CANARY_ID:
                    yield entity
            if offset is None:
                return

    async def get(self, kind: Kind, ids: Sequence[str]) -> dict[str, Stored]:
        found: dict[str, Stored] = {}
        for start in range(0, len(ids), PAGE):
            page = [point_id(entity_id) for entity_id in ids[start : start + PAGE]]
            with qdrant_errors("read"):
                points = await self._client.retrieve(self._collections[kind], page, with_payload=True)
            for point in points:
                entity = stored(kind, point.payload or {})
                found[entity.id] = entity
        return found

    async def search(self, query: Query) -> list[Hit]:
        """Raises WrongCollection if the readers' alias points to a collection of another model."""
        if query.vector is None:
            raise ValueError("qdrant searches by vector, and the query has none")
        with qdrant_errors("search"):
            await self._check_alias(query.kind)
            answer = await self._client.query_points(
                self._collections[query.kind],
                query=[float(number) for number in query.vector],
                using=VECTOR,
                query_filter=models.Filter(must=[LIVE, *conditions(query.filters)]),
                limit=query.limit,
                with_payload=True,
            )
        return [hit(query.kind, point) for point in answer.points]

    async def searchable(self, kind: Kind, ids: Sequence[str]) -> dict[str, int]:
        """The versions of these entities that pass the filter of a search."""
        found: dict[str, int] = {}
        for start in range(0, len(ids), PAGE):
            page: list[Any] = [point_id(entity_id) for entity_id in ids[start : start + PAGE]]
            with qdrant_errors("search"):
                points, _ = await self._client.scroll(
                    self._collections[kind],
                    models.Filter(must=[models.HasIdCondition(has_id=page), LIVE]),
                    limit=PAGE,
                    with_payload=["version", ID_FIELDS[kind]],
                )
            found |= {payload[ID_FIELDS[kind]]: payload["version"] for point in points if (payload := point.payload)}
        return found

    async def live_count(self, kind: Kind) -> int:
        with qdrant_errors("count"):
            answer = await self._client.count(self._collections[kind], models.Filter(must=[LIVE]), exact=True)
        return answer.count

    async def canary_version(self, kind: Kind) -> int | None:
        """The version of the canary that a search finds: a search finds a point that has a vector, near or far."""
        condition = models.FieldCondition(key=ID_FIELDS[kind], match=models.MatchValue(value=CANARY_ID))
        with qdrant_errors("search"):
            answer = await self._client.query_points(
                self._collections[kind],
                query=[1.0, *(0.0 for _ in range(self._settings.vector_size - 1))],
                using=VECTOR,
                query_filter=models.Filter(must=[condition]),
                limit=1,
                with_payload=["version"],
            )
        return (answer.points[0].payload or {})["version"] if answer.points else None

    async def close(self) -> None:
        await self._client.close()

    async def _create_missing(self, kind: Kind) -> list[str]:
        """Creates the collection, its payload indexes and its alias where they are missing; one line for each."""
        collection = await self._physical(kind)
        vectors = models.VectorParams(size=self._settings.vector_size, distance=models.Distance.COSINE)
        indexes = {"deleted": models.PayloadSchemaType.BOOL, ID_FIELDS[kind]: models.PayloadSchemaType.KEYWORD}
        return [
            *await create_collection(self._client, collection, VECTOR, vectors, self._settings.qdrant),
            *await create_indexes(self._client, collection, indexes),
            *await create_alias(self._client, self._collections[kind], collection),
            *await create_alias(self._client, self._aliases[kind], collection),
        ]

    async def _public_to_physical(self) -> dict[str, str]:
        return {alias: await self._physical(kind) for kind, alias in self._aliases.items()}

    async def _physical(self, kind: Kind) -> str:
        """The collection behind the alias of the workers; the name of the first one without an alias."""
        aliased = await aliased_collection(self._client, self._collections[kind])
        return aliased or collection_of(kind, self._settings.names)

    async def _check_alias(self, kind: Kind) -> None:
        alias = self._aliases[kind]
        aliased = await aliased_collection(self._client, alias)
        if aliased is not None and model_in(aliased) != self._settings.model:
            raise WrongCollection(
                f"the alias {alias} points to {aliased}, which is not of model {self._settings.model}: "
                "set HEADRACE_MODEL to the model of that collection, or move the alias"
            )


def conditions(filters: Filters) -> list[models.Condition]:
    """What the points of a search must have besides."""
    of_texts = [
        models.FieldCondition(key=name, match=models.MatchValue(value=text)) for name, text in filters.texts.items()
    ]
    prices = models.Range(gte=filters.min_price, lte=filters.max_price)
    of_price = [models.FieldCondition(key="price", range=prices)] if filters.has_prices else []
    return [*of_texts, *of_price]


def stored(kind: Kind, payload: dict[str, Any]) -> Stored:
    return Stored(
        id=payload[ID_FIELDS[kind]],
        version=payload["version"],
        deleted=payload["deleted"],
        fields={} if payload["deleted"] else entity_fields(kind, payload),
        content_hash=payload.get("content_hash"),
        model=payload.get("model"),
        digest=payload.get("digest"),
    )


def hit(kind: Kind, point: models.ScoredPoint) -> Hit:
    payload = point.payload or {}
    return Hit(payload[ID_FIELDS[kind]], point.score, entity_fields(kind, payload))


def entity_fields(kind: Kind, payload: dict[str, Any]) -> dict[str, Any]:
    return {name: payload[name] for name in CHANGES[kind].field_names if name in payload}
