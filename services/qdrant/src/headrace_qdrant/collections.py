"""One collection for each kind and model, behind an alias that readers use."""

from qdrant_client import AsyncQdrantClient, models

from headrace_clients.qdrant import VECTOR, collection_of
from headrace_clients.qdrant_collections import create_alias, create_collection, create_indexes
from headrace_clients.qdrant_errors import STORE
from headrace_schemas.changes import ID_FIELDS
from headrace_schemas.fields import Kind
from headrace_schemas.topics import SOURCE_NAMES
from headrace_worker.settings import QdrantSettings
from headrace_worker.stage import Unavailable

ALIASES = SOURCE_NAMES
KINDS: tuple[Kind, ...] = tuple(ALIASES)


async def dimension_of(client: AsyncQdrantClient, collection: str) -> int:
    """The size of the collection's vectors. Raises Unavailable if it has none of our name."""
    vectors = (await client.get_collection(collection)).config.params.vectors
    if not isinstance(vectors, dict) or VECTOR not in vectors:
        raise Unavailable(STORE, f"the collection {collection} has no vector named {VECTOR}")
    return vectors[VECTOR].size


async def create_missing(
    client: AsyncQdrantClient, kind: Kind, model: str, dimension: int, settings: QdrantSettings
) -> list[str]:
    """Creates the collection, its payload indexes and its alias where they are missing; one line for each.

    Raises WrongCollection if the collection holds vectors of another size.
    """
    collection = collection_of(kind, model)
    vectors = models.VectorParams(size=dimension, distance=models.Distance.COSINE)
    indexes = {"deleted": models.PayloadSchemaType.BOOL, ID_FIELDS[kind]: models.PayloadSchemaType.KEYWORD}
    return [
        *await create_collection(client, collection, VECTOR, vectors, settings),
        *await create_indexes(client, collection, indexes),
        *await create_alias(client, ALIASES[kind], collection),
    ]
