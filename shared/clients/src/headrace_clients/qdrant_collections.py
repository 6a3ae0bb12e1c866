"""Creates for `stores apply` what is missing in Qdrant. Each function returns a line for each thing that it created."""

from collections.abc import Mapping

from qdrant_client import AsyncQdrantClient, models

from headrace_clients.qdrant import check_completed, vector_size
from headrace_clients.settings import QdrantSettings
from headrace_worker.store import InUse
from headrace_worker.store_names import model_in


class WrongCollection(ValueError):
    """A collection has the name of this model's collection, but vectors of another size or of another model."""


async def create_collection(
    client: AsyncQdrantClient, collection: str, name: str, vectors: models.VectorParams, settings: QdrantSettings
) -> list[str]:
    """A collection with one vector of that `name`. Raises WrongCollection if it exists with another size."""
    made = await _create(client, collection, {name: vectors}, settings.replication_factor)
    size = await vector_size(client, collection, name)
    if size != vectors.size:
        raise WrongCollection(
            f"the vectors {name!r} of {collection} have {size or 'no'} dimensions, and {vectors.size} are needed; "
            "is HEADRACE_DIMENSION the dimension of the model?"
        )
    return made


async def create_indexes(
    client: AsyncQdrantClient, collection: str, wanted: Mapping[str, models.PayloadSchemaType]
) -> list[str]:
    """The payload indexes of these fields."""
    present = (await client.get_collection(collection)).payload_schema
    missing = {field: schema for field, schema in wanted.items() if field not in present}
    for field, schema in missing.items():
        check_completed([await client.create_payload_index(collection, field, schema, wait=True)])
    return [f"payload index {collection}.{field}" for field in missing]


async def create_alias(client: AsyncQdrantClient, alias: str, collection: str) -> list[str]:
    """An alias that points to another collection stays: to move readers to a new collection is a separate step."""
    if await aliased_collection(client, alias) is not None:
        return []
    create = models.CreateAlias(collection_name=collection, alias_name=alias)
    await client.update_collection_aliases([models.CreateAliasOperation(create_alias=create)])
    return [f"alias {alias} -> {collection}"]


async def move_alias(client: AsyncQdrantClient, alias: str, collection: str) -> list[str]:
    """Points the alias to this collection, in one step."""
    if await aliased_collection(client, alias) == collection:
        return []
    remove = models.DeleteAliasOperation(delete_alias=models.DeleteAlias(alias_name=alias))
    create = models.CreateAlias(collection_name=collection, alias_name=alias)
    await client.update_collection_aliases([remove, models.CreateAliasOperation(create_alias=create)])
    return [f"alias {alias} -> {collection}"]


async def other_model(client: AsyncQdrantClient, alias: str, collection: str) -> str | None:
    """The model of the collection behind the alias, if there is no such `collection`; None without an alias."""
    if await client.collection_exists(collection):
        return None
    aliased = await aliased_collection(client, alias)
    return model_in(aliased) if aliased else None


async def check_unused(client: AsyncQdrantClient, collections: Mapping[str, str]) -> None:
    """Raises InUse if a public alias leads to its collection. `collections`: the public alias to the collection."""
    for alias, collection in collections.items():
        if await aliased_collection(client, alias) == collection:
            raise InUse(f"the alias {alias} leads to {collection}")


async def drop_collections(client: AsyncQdrantClient, collections: Mapping[str, str]) -> list[str]:
    """Removes each collection that exists. `collections`: as above. Raises InUse, before it removes anything."""
    await check_unused(client, collections)
    dropped = []
    for collection in collections.values():
        if await client.collection_exists(collection):
            await client.delete_collection(collection)
            dropped.append(f"collection {collection} removed")
    return dropped


async def aliased_collection(client: AsyncQdrantClient, alias: str) -> str | None:
    """The collection behind an alias; None if there is no such alias."""
    aliases = (await client.get_aliases()).aliases
    return next((found.collection_name for found in aliases if found.alias_name == alias), None)


async def _create(
    client: AsyncQdrantClient, collection: str, vectors: Mapping[str, models.VectorParams], replicas: int
) -> list[str]:
    if await client.collection_exists(collection):
        return []
    try:
        await client.create_collection(
            collection, vectors_config=vectors, replication_factor=replicas, write_consistency_factor=replicas
        )
    except Exception:
        # Another `stores apply` may have created it at the same time. After any other failure it is still missing.
        if await client.collection_exists(collection):
            return []
        raise
    (size,) = (vector.size for vector in vectors.values())
    return [f"collection {collection} ({size} dimensions)"]
