"""A second set of collections, which `headrace rebuild` fills beside the set in use."""

from qdrant_client import AsyncQdrantClient, models

from headrace_clients.qdrant import collection_of, connect, current_collection, qdrant_errors
from headrace_clients.qdrant_collections import aliased_collection
from headrace_qdrant.settings import QdrantWorkerSettings
from headrace_qdrant.store import QdrantStore
from headrace_schemas.fields import Kind
from headrace_schemas.topics import SOURCE_NAMES
from headrace_worker.beside import State, generation_of, of_generation


def open_beside(settings: QdrantWorkerSettings) -> "QdrantBeside":
    """Both sets, with their client; the server may be down."""
    return QdrantBeside(connect(settings.qdrant), settings)


class QdrantBeside:
    """The aliases decide which set is in use: `…__current` for workers, and the public ones."""

    def __init__(self, client: AsyncQdrantClient, settings: QdrantWorkerSettings) -> None:
        self._client = client
        self._settings = settings

    async def state(self) -> State:
        with qdrant_errors():
            current = await self._current()
            if await self._exists(current + 1):
                return "building"
            return "switched" if current > 1 and await self._exists(current - 1) else "none"

    async def target(self) -> QdrantWorkerSettings:
        with qdrant_errors():
            return self._of(await self._current() + 1)

    async def create(self) -> list[str]:
        return await QdrantStore(self._client, await self.target()).prepare()

    async def switch(self) -> list[str]:
        """A public alias that leads to another model stays there."""
        target, moves = await self.target(), {}
        with qdrant_errors():
            for kind, name in SOURCE_NAMES.items():
                former, new = await self._physical(kind), collection_of(kind, target.names)
                moves[current_collection(kind, self._settings.names)] = new
                public = self._settings.names.public(name)
                if await aliased_collection(self._client, public) in (None, former):
                    moves[public] = new
            await self._move(moves)
        return [f"alias {alias} -> {collection}" for alias, collection in moves.items()]

    async def drop_new(self) -> list[str]:
        with qdrant_errors():
            return await self._drop(await self._current() + 1)

    async def drop_old(self) -> list[str]:
        with qdrant_errors():
            return await self._drop(await self._current() - 1)

    async def close(self) -> None:
        await self._client.close()

    async def _move(self, moves: dict[str, str]) -> None:
        changes: list[models.AliasOperations] = []
        for alias, collection in moves.items():
            changes.append(models.DeleteAliasOperation(delete_alias=models.DeleteAlias(alias_name=alias)))
            create = models.CreateAlias(collection_name=collection, alias_name=alias)
            changes.append(models.CreateAliasOperation(create_alias=create))
        await self._client.update_collection_aliases(changes)

    async def _drop(self, number: int) -> list[str]:
        dropped = []
        for kind in SOURCE_NAMES:
            collection = collection_of(kind, self._of(number).names)
            if await self._client.collection_exists(collection):
                await self._client.delete_collection(collection)
                dropped.append(f"collection {collection} removed")
        return dropped

    async def _physical(self, kind: Kind) -> str:
        aliased = await aliased_collection(self._client, current_collection(kind, self._settings.names))
        return aliased or collection_of(kind, self._settings.names)

    async def _current(self) -> int:
        return generation_of(await self._physical("product"))

    async def _exists(self, number: int) -> bool:
        names = self._of(number).names
        return any([await self._client.collection_exists(collection_of(kind, names)) for kind in SOURCE_NAMES])

    def _of(self, number: int) -> QdrantWorkerSettings:
        found: QdrantWorkerSettings = of_generation(self._settings, number)
        return found
