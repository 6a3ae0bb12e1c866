"""The collection `product_links` of one model, behind an alias that readers use."""

from qdrant_client import AsyncQdrantClient, models

from headrace_link.point import PROBE
from headrace_shared.clients.qdrant import check_completed
from headrace_shared.settings import QdrantSettings

ALIAS = "product_links"
INDEXES = {
    "open": models.PayloadSchemaType.BOOL,
    "deleted": models.PayloadSchemaType.BOOL,
    "keyword_ids": models.PayloadSchemaType.KEYWORD,
}


class WrongCollection(ValueError):
    """The collection holds probes of another size."""


def collection_name(model: str) -> str:
    """The physical collection: floors of two models mean nothing to each other."""
    return f"{ALIAS}__{model}"


async def create_missing(client: AsyncQdrantClient, model: str, dimension: int, settings: QdrantSettings) -> list[str]:
    """Creates the collection, its payload indexes and its alias where they are missing; one line for each.

    Raises WrongCollection if the collection is there with another dimension.
    """
    collection = collection_name(model)
    made = await _create(client, collection, dimension + 1, settings.replication_factor)
    info = await client.get_collection(collection)
    vectors = info.config.params.vectors
    size = vectors[PROBE].size if isinstance(vectors, dict) and PROBE in vectors else None
    if size != dimension + 1:
        raise WrongCollection(f"{collection} has probes of {size} dimensions, and the model's need {dimension + 1}")
    for field, schema in INDEXES.items():
        if field not in info.payload_schema:
            check_completed([await client.create_payload_index(collection, field, schema, wait=True)])
            made.append(f"payload index {collection}.{field}")
    aliases = (await client.get_aliases()).aliases
    if not any(alias.alias_name == ALIAS for alias in aliases):
        create = models.CreateAlias(collection_name=collection, alias_name=ALIAS)
        await client.update_collection_aliases([models.CreateAliasOperation(create_alias=create)])
        made.append(f"alias {ALIAS} -> {collection}")
    return made


async def _create(client: AsyncQdrantClient, collection: str, size: int, replicas: int) -> list[str]:
    if await client.collection_exists(collection):
        return []
    # Every search of it is exact, because a graph finds only what its limit lets it: so there is no graph.
    vectors = {
        PROBE: models.VectorParams(size=size, distance=models.Distance.DOT, hnsw_config=models.HnswConfigDiff(m=0))
    }
    try:
        await client.create_collection(
            collection, vectors_config=vectors, replication_factor=replicas, write_consistency_factor=replicas
        )
    except Exception:
        # Another `stores apply` may have been faster; whatever else failed, the collection is still missing.
        if await client.collection_exists(collection):
            return []
        raise
    return [f"collection {collection} ({size} dimensions)"]
