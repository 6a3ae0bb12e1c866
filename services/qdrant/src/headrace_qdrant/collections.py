"""One collection for each kind and model, behind an alias that readers use."""

from qdrant_client import AsyncQdrantClient, models

from headrace_schemas.changes import ID_FIELDS
from headrace_schemas.fields import Kind
from headrace_schemas.topics import SOURCE_NAMES
from headrace_shared.clients.qdrant import VECTOR, check_completed, collection_of
from headrace_shared.clients.qdrant_errors import STORE
from headrace_shared.settings import QdrantSettings
from headrace_shared.stage import Unavailable

ALIASES = SOURCE_NAMES
KINDS: tuple[Kind, ...] = tuple(ALIASES)


class WrongCollection(ValueError):
    """A collection or an alias stands where this model's should, and is another's."""


async def dimension_of(client: AsyncQdrantClient, collection: str) -> int:
    """The size of the collection's vectors. Raises Unavailable if it has none of our name."""
    vectors = (await client.get_collection(collection)).config.params.vectors
    if not isinstance(vectors, dict) or VECTOR not in vectors:
        raise Unavailable(STORE, f"the collection {collection} has no vector named {VECTOR}")
    return vectors[VECTOR].size


async def aliased_collection(client: AsyncQdrantClient, kind: Kind) -> str | None:
    """The collection that readers of a kind see."""
    aliases = (await client.get_aliases()).aliases
    return next((alias.collection_name for alias in aliases if alias.alias_name == ALIASES[kind]), None)


async def create_missing(
    client: AsyncQdrantClient, kind: Kind, model: str, dimension: int, settings: QdrantSettings
) -> list[str]:
    """Creates the collection, its payload indexes and its alias where they are missing; one line for each.

    An alias that points at another model's collection stays: moving readers to a new index is a step of its own.
    Raises WrongCollection if the collection holds vectors of another size.
    """
    collection = collection_of(kind, model)
    made = await _create_collection(client, collection, dimension, settings.replication_factor)
    if (stored := await dimension_of(client, collection)) != dimension:
        raise WrongCollection(
            f"{collection} holds vectors of {stored} dimensions, and HEADRACE_DIMENSION is {dimension}"
        )
    made += await _create_indexes(client, collection, kind)
    if await aliased_collection(client, kind) is None:
        create = models.CreateAlias(collection_name=collection, alias_name=ALIASES[kind])
        await client.update_collection_aliases([models.CreateAliasOperation(create_alias=create)])
        made.append(f"alias {ALIASES[kind]} -> {collection}")
    return made


async def _create_collection(client: AsyncQdrantClient, collection: str, dimension: int, replicas: int) -> list[str]:
    if await client.collection_exists(collection):
        return []
    vectors = {VECTOR: models.VectorParams(size=dimension, distance=models.Distance.COSINE)}
    try:
        await client.create_collection(
            collection, vectors_config=vectors, replication_factor=replicas, write_consistency_factor=replicas
        )
    except Exception:
        # Another `stores apply` may have been faster; whatever else failed, the collection is still missing.
        if await client.collection_exists(collection):
            return []
        raise
    return [f"collection {collection} ({dimension} dimensions)"]


async def _create_indexes(client: AsyncQdrantClient, collection: str, kind: Kind) -> list[str]:
    wanted = {"deleted": models.PayloadSchemaType.BOOL, ID_FIELDS[kind]: models.PayloadSchemaType.KEYWORD}
    present = (await client.get_collection(collection)).payload_schema
    missing = {field: schema for field, schema in wanted.items() if field not in present}
    for field, schema in missing.items():
        check_completed([await client.create_payload_index(collection, field, schema, wait=True)])
    return [f"payload index {collection}.{field}" for field in missing]
