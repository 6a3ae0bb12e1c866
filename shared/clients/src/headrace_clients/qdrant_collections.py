"""What `stores apply` makes in Qdrant where it is missing. Each function says in lines what it made."""

from collections.abc import Mapping

from qdrant_client import AsyncQdrantClient, models

from headrace_clients.qdrant import check_completed
from headrace_worker.settings import QdrantSettings


class WrongCollection(ValueError):
    """A collection stands where this model's should, and holds vectors of another size."""


async def create_collection(
    client: AsyncQdrantClient, collection: str, name: str, vectors: models.VectorParams, settings: QdrantSettings
) -> list[str]:
    """A collection of one vector, of that `name`. Raises WrongCollection if it is there with another size."""
    made = await _create(client, collection, {name: vectors}, settings.replication_factor)
    held = (await client.get_collection(collection)).config.params.vectors
    size = held[name].size if isinstance(held, dict) and name in held else None
    if size != vectors.size:
        raise WrongCollection(
            f"the vectors {name!r} of {collection} have {size or 'no'} dimensions, and {vectors.size} are needed; "
            "is HEADRACE_DIMENSION the model's?"
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
    """An alias that points elsewhere stays: moving readers to a new collection is a step of its own."""
    if await aliased_collection(client, alias) is not None:
        return []
    create = models.CreateAlias(collection_name=collection, alias_name=alias)
    await client.update_collection_aliases([models.CreateAliasOperation(create_alias=create)])
    return [f"alias {alias} -> {collection}"]


async def aliased_collection(client: AsyncQdrantClient, alias: str) -> str | None:
    """The collection that readers of an alias see."""
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
        # Another `stores apply` may have been faster; whatever else failed, the collection is still missing.
        if await client.collection_exists(collection):
            return []
        raise
    (size,) = (vector.size for vector in vectors.values())
    return [f"collection {collection} ({size} dimensions)"]
